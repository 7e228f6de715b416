"""`loom models`: list, test, pull."""

from loom_cli import LazyCommand, LazyGroup, examples

group = LazyGroup(
    "models",
    lazy={
        "list": LazyCommand("loom_app.models_list:list_command", "Every model that can be reached."),
        "test": LazyCommand("loom_app.models_test:test_command", "Ask a model one short question."),
        "pull": LazyCommand("loom_app.models_pull:pull_command", "Fetch the weights of a model."),
    },
    help="The models there are; try or fetch one.",
    epilog=examples("loom models pull smollm2", "loom models test local:smollm2"),
)
