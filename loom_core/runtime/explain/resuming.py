"""What resuming a run would do, and the commands for it."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from loom_core.contracts.stores import CallRecord, RunRecord
from loom_core.runtime.explain.reading import Material
from loom_core.runtime.explain.standing import CHAT_AGENT, InDoubt, Standing, is_doubtful
from loom_core.runtime.explain.text import counted, shell

MAX_TOLD = 8


@attrs.frozen(kw_only=True)
class Command:
    """A command line as words, and what it is for. Words in capitals are for the reader to fill in."""

    does: str
    words: tuple[str, ...]

    @property
    def line(self) -> str:
        """The command as a POSIX shell takes it."""
        return shell(self.words)


@attrs.frozen(kw_only=True)
class Resuming:
    """Sentences, each for a line of its own, and commands in the order in which they make sense."""

    what: tuple[str, ...]
    commands: tuple[Command, ...] = ()


def resuming_of(material: Material, standing: Standing, doubts: Sequence[InDoubt]) -> Resuming:
    """Say what ``resume`` would do now."""
    record = material.record
    make = _Commands(record, material.location)
    if record.status == "completed":
        return Resuming(
            what=("Nothing is left to do; resuming prints the result.",), commands=(make.resume("print the result"),)
        )
    if record.status == "cancelled":
        return Resuming(what=("Nothing: a cancelled run stays as it is.",))
    if standing.status == "running":
        return Resuming(
            what=(f"Nothing while {record.owner} holds the run: wait until it is done, or stop that process.",),
            commands=(make.explain("look again"),),
        )
    if record.status == "failed":
        again = _again(material, f"Tries step {record.step_index} again, from its start.", new_attempt=True)
        commands = [make.resume("when the cause is gone", "--retry-failed")]
        commands += [make.let_again(c) for c in material.calls if _is_final_failure(c, record)]
        return Resuming(what=again, commands=tuple(commands))
    if record.status == "waiting" and not standing.signal_has_come:
        return _waiting(record, make, doubts)
    taking_over = "Takes the run over at once and" if standing.status == "orphaned" else "Goes on:"
    first = f"{taking_over} executes step {record.step_index}"
    started = any(c.step_index == record.step_index for c in material.calls) or record.attempt_index > 0
    first += " again, from its start." if started or standing.status == "orphaned" else "."
    commands = [make.resume("go on")]
    for doubt in (d for d in doubts if d.open):
        commands += make.resolve(doubt)
    return Resuming(what=_again(material, first, new_attempt=False), commands=tuple(commands))


def _waiting(record: RunRecord, make: _Commands, doubts: Sequence[InDoubt]) -> Resuming:
    kind, _, name = (record.reason or "").partition(":")
    if kind == "doubt":
        commands = [command for doubt in doubts if doubt.open for command in make.resolve(doubt)]
        return Resuming(
            what=(
                f"Nothing until somebody decides call {name}. Find out whether it happened, then say so:",
                f"step {record.step_index} is then executed again from its start, and the call is not made "
                "again unless you say --retry.",
            ),
            commands=(*commands, make.resume("then go on")),
        )
    if kind == "signal" and record.agent.name == CHAT_AGENT:
        return Resuming(what=("Nothing until you answer.",), commands=(make.chat(),))
    if kind == "signal":
        return Resuming(
            what=(
                f"Nothing until the signal `{name}` comes (AgentRunner.send_signal); then step {record.step_index}.",
            ),
            commands=(make.resume("when it has come"),),
        )
    return Resuming(what=("Nothing until it is due.",), commands=(make.resume("when it is due"),))


def _again(material: Material, first: str, *, new_attempt: bool) -> tuple[str, ...]:
    """Say what becomes of each call that the step made before."""
    record = material.record
    last_tries = {c.key: c for c in material.calls if c.step_index == record.step_index}
    finished = sum(1 for c in last_tries.values() if c.status == "done")
    told = [t for c in last_tries.values() if (t := _fate(c, record, new_attempt=new_attempt)) is not None]
    if finished:
        told.insert(
            0, f"{counted(finished, 'finished call')} of it will not be made again; the recorded result is used."
        )
    if len(told) > MAX_TOLD:
        told = [*told[: MAX_TOLD - 1], f"… and {counted(len(told) - MAX_TOLD + 1, 'more call')}"]
    return (first, *told)


def _fate(call: CallRecord, record: RunRecord, *, new_attempt: bool) -> str | None:
    what = f"model `{call.name}`" if call.kind == "model" else f"`{call.name}`"
    verb = "asked" if call.kind == "model" else "called"
    which = f"{what} ({call.effect}, call {call.call_id})"
    if call.status == "done":
        return None
    if is_doubtful(call, "orphaned"):
        return f"{which} may or may not have happened: its reconcile is asked, else the run waits for a person."
    if call.status in ("unknown", "started"):
        return f"{which} has no recorded end and is {verb} again, under the same key."
    if call.not_started:
        return f"{which} did not happen and is {verb} again."
    same_attempt = not new_attempt and call.attempt_index == record.attempt_index
    if call.effect == "once" or same_attempt:
        return f"{which} failed, and is not {verb} again: the step is given its recorded error."
    return f"{which} failed, and is {verb} again."


def _is_final_failure(call: CallRecord, record: RunRecord) -> bool:
    """Return True for a `once` call of the failed step that only a person can let be made again."""
    at_head = call.step_index == record.step_index
    return at_head and call.effect == "once" and call.status == "failed" and not call.not_started


class _Commands:
    """Writes the commands for one run."""

    def __init__(self, record: RunRecord, location: str) -> None:
        self._chat = record.agent.name == CHAT_AGENT
        self._place = ("--run-id", record.run_id, "--db", location)
        # A run whose agent was made in code has no reference that `resume` could load by itself.
        self._agent = () if record.agent.reference is not None or self._chat else ("AGENT",)

    def let_again(self, call: CallRecord) -> Command:
        does = f"if call {call.call_id} has to be made again, which only a person can allow"
        return Command(does=does, words=("loom-runner", "resolve", call.call_id, "--retry", *self._place))

    def resume(self, does: str, *options: str) -> Command:
        program = "loom-run" if self._chat else "loom-runner"
        return Command(does=does, words=(program, "resume", *self._agent, *self._place, *options))

    def explain(self, does: str) -> Command:
        return Command(does=does, words=("loom-run" if self._chat else "loom-runner", "explain", *self._place))

    def chat(self) -> Command:
        return Command(does="answer", words=("loom-run", "chat", "YOUR MESSAGE", *self._place))

    def resolve(self, doubt: InDoubt) -> tuple[Command, ...]:
        start = ("loom-runner", "resolve", doubt.call_id)
        return (
            Command(does="it happened, and this was its result", words=(*start, "--result", "JSON", *self._place)),
            Command(does="it did not happen: make it again", words=(*start, "--retry", *self._place)),
            Command(does="it failed: tell the step so", words=(*start, "--fail", "MESSAGE", *self._place)),
        )
