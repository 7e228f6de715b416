"""`loom-runner schedule`: add, list, remove."""

from loom_cli import LazyCommand, LazyGroup, examples

group = LazyGroup(
    "schedule",
    lazy={
        "add": LazyCommand("loom_runner.commands.schedule_add:add", "Start runs of an agent at planned times."),
        "list": LazyCommand(
            "loom_runner.commands.schedule_list:list_schedules", "What is planned, and what was started."
        ),
        "remove": LazyCommand("loom_runner.commands.schedule_remove:remove", "Start no further runs of a schedule."),
    },
    help="Runs that are started at planned times, by a worker that has their agent.",
    epilog=examples(
        "loom-runner schedule add report.py --name nightly --cron '0 3 * * *'",
        "loom-runner schedule list",
    ),
)
