"""`loom config`: show."""

from loom_cli import LazyCommand, LazyGroup, examples

group = LazyGroup(
    "config",
    lazy={"show": LazyCommand("loom_app.config_show:show_command", "The settings in force, secrets masked.")},
    help="The settings in force and where each comes from.",
    epilog=examples("loom config show", "loom config show --origin"),
)
