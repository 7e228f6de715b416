"""`loom tools`: list, show, call."""

from loom_cli import LazyCommand, LazyGroup, examples

group = LazyGroup(
    "tools",
    lazy={
        "list": LazyCommand("loom_app.tools_list:list_command", "Every tool, its effect and its plugin."),
        "show": LazyCommand("loom_app.tools_show:show_command", "One tool and the arguments it takes."),
        "call": LazyCommand("loom_app.tools_call:call_command", "Call a tool outside any run."),
    },
    help="The tools there are; call one.",
    epilog=examples("loom tools list", """loom tools call read_file --args '{"path": "README.md"}'"""),
)
