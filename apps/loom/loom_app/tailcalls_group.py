"""`loom tailcalls`: explain."""

from loom_cli import LazyCommand, LazyGroup, examples

group = LazyGroup(
    "tailcalls",
    lazy={
        "explain": LazyCommand(
            "loom_app.tailcalls_explain:explain_command", "What becomes of every recursive call of a file."
        ),
    },
    help="What @tailrec and @tailstream make of a file.",
    epilog=examples("loom tailcalls explain agent.py", "loom tailcalls explain agent.py:Agent.run --json"),
)
