"""What every command line of Loom shares: the error border, exit statuses, output, lazy groups, common options."""

from loom_cli.border import run_command
from loom_cli.exits import ExitStatus
from loom_cli.groups import LazyCommand, LazyGroup
from loom_cli.invocation import Invocation, common_options, db_option, examples, model_option, pass_invocation
from loom_cli.output import Output

__all__ = [
    "ExitStatus",
    "Invocation",
    "LazyCommand",
    "LazyGroup",
    "Output",
    "common_options",
    "db_option",
    "examples",
    "model_option",
    "pass_invocation",
    "run_command",
]
