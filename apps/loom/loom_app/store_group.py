"""`loom store`: what is in a run database, and keeping it in order."""

from loom_cli import LazyCommand, LazyGroup, examples

group = LazyGroup(
    "store",
    lazy={
        "info": LazyCommand("loom_app.store_info:info_command", "How large it is, and what is in it."),
        "verify": LazyCommand("loom_app.store_verify:verify_command", "Check everything stored against itself."),
        "prune": LazyCommand("loom_app.store_prune:prune_command", "Let old history, or old runs, go."),
        "vacuum": LazyCommand("loom_app.store_vacuum:vacuum_command", "Give unused space back to the disk."),
        "export": LazyCommand("loom_app.store_export:export_command", "Write runs to a file."),
        "import": LazyCommand("loom_app.store_import:import_command", "Add the runs of a file."),
        "copy": LazyCommand("loom_app.store_copy:copy_command", "Add the runs of one database to another."),
    },
    help="What is in a run database, and keeping it in order.",
    epilog=examples("loom store info --db runs.sqlite", "loom store prune --older-than 30d --dry-run"),
)
