"""`loom plugins`: list, show, check."""

from loom_cli import LazyCommand, LazyGroup, examples

group = LazyGroup(
    "plugins",
    lazy={
        "list": LazyCommand("loom_app.plugins_list:list_command", "Every plugin, its status and what it offers."),
        "show": LazyCommand("loom_app.plugins_show:show_command", "One plugin, its settings and its faults."),
        "check": LazyCommand("loom_app.plugins_check:check_command", "Load one plugin alone and validate it."),
    },
    help="What is installed, what it offers, what is broken.",
    epilog=examples("loom plugins list", "loom plugins check ./my_plugin"),
)
