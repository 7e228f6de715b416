"""What resuming a run would do, and the commands for it."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from loom_core.contracts.budgets import WORDS
from loom_core.contracts.people import ApprovalRecord
from loom_core.contracts.stores import CallRecord, RunRecord
from loom_core.runtime.due import RETRY
from loom_core.runtime.explain.budgets import OPTIONS, used_up
from loom_core.runtime.explain.questions import asked_words, open_question, who_may
from loom_core.runtime.explain.reading import CHAT_AGENT, Material
from loom_core.runtime.explain.standing import InDoubt, Standing, is_doubtful
from loom_core.runtime.explain.text import counted, number, shell

MAX_TOLD = 8


@attrs.frozen(kw_only=True)
class Command:
    """A command line as words, and what it is for. Words in capitals are for the reader to fill in.

    ``call_id`` is the call that it decides, if it decides one.
    """

    does: str
    words: tuple[str, ...]
    call_id: str | None = None

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
        again = _again(material, f"Tries step {number(record.step_index)} again, from its start.", new_attempt=True)
        at_head = [c for c in material.calls if c.step_index == record.step_index]
        again_commands = [command for call in at_head for command in make.decide_again(call)]
        retry = make.resume("when the cause is gone", "--retry-failed")
        # What a person decided is replayed as it is: trying again cannot help before that is decided otherwise.
        decided = any(c.status == "failed" and c.decided_by and not c.not_started for c in at_head)
        return Resuming(what=again, commands=(*again_commands, retry) if decided else (retry, *again_commands))
    if record.status == "waiting" and not standing.due:
        return _waiting(material, make, doubts, standing)
    exhausted = used_up(record)
    if exhausted is not None:
        option = OPTIONS[exhausted]
        return Resuming(
            what=(f"Nothing until it gets more {WORDS[exhausted]} ({option}); then step {number(record.step_index)}.",),
            commands=(make.resume("give it more and go on", option, "N"),),
        )
    if standing.waits_on is not None and not _is_begun(material):
        return Resuming(
            what=(f"It waits on {standing.waits_on}. Then step {number(record.step_index)} is executed.",),
            commands=(make.resume("let it wait on"),),
        )
    taking_over = "Takes the run over at once and" if standing.status == "orphaned" else "Goes on:"
    first = f"{taking_over} executes step {number(record.step_index)}"
    started = any(c.step_index == record.step_index for c in material.calls) or record.attempt_index > 0
    first += " again, from its start." if started or standing.status == "orphaned" else "."
    what = _again(material, first, new_attempt=False)
    in_doubt = [d for d in doubts if d.open]
    if not in_doubt:
        return Resuming(what=what, commands=(make.resume("go on"),))
    names = ", ".join(d.call_id for d in in_doubt[:MAX_TOLD]) + (", …" if len(in_doubt) > MAX_TOLD else "")
    return Resuming(
        what=(f"Find out first whether call {names} happened, and say so with a command below. Then resuming:", *what),
        commands=(*(c for d in in_doubt for c in make.resolve(d)), make.resume("then go on")),
    )


def _waiting(material: Material, make: _Commands, doubts: Sequence[InDoubt], standing: Standing) -> Resuming:
    record = material.record
    kind, _, name = (record.reason or "").partition(":")
    if kind == "doubt":
        commands = [command for doubt in doubts if doubt.open for command in make.resolve(doubt)]
        return Resuming(
            what=(
                f"Nothing until somebody decides call {name}. Find out whether it happened, then say so:",
                f"step {number(record.step_index)} is then executed again from its start, and the call is not made "
                "again unless you say --retry.",
            ),
            commands=(*commands, make.resume("then go on")),
        )
    if kind == "approval":
        asked = open_question(record, material.approvals)
        told = () if asked is None else (f"{asked_words(asked)} It may be answered by {who_may(asked)}.",)
        again = f"step {number(record.step_index)} is then executed again from its start; nothing has been called yet."
        return Resuming(
            what=(f"Nothing until somebody answers question {name}:", *told, again),
            commands=(
                make.answer("yes", "approve", name, asked),
                make.answer("no", "deny", name, asked),
                make.resume("then go on"),
            ),
        )
    if kind == "signal" and record.agent.name == CHAT_AGENT:
        return Resuming(what=("Nothing until you answer.",), commands=(make.chat(),))
    if kind == "signal":
        then = f"then step {number(record.step_index)}"
        limit = "" if record.wake_at is None else ", or its time is over"
        return Resuming(
            what=(f"Nothing until the signal `{name}` comes{limit}; {then}.",),
            commands=(make.signal(name), make.resume("when it has come")),
        )
    again = " again, from its start" if record.reason == RETRY else ""
    return Resuming(
        what=(
            f"Nothing yet: it waits {standing.words}. Then step {number(record.step_index)} is executed{again}; "
            "a worker that has its agent does so by itself.",
        ),
        commands=(make.resume("when it is due"),),
    )


def _is_begun(material: Material) -> bool:
    """Return True if the step that comes next has begun: it is executed again at once, and finds out what it needs."""
    step_index = material.record.step_index
    return any(call.step_index == step_index for call in material.calls) or any(
        asked.step_index == step_index for asked in material.approvals
    )


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
        return (
            f"{which} may or may not have happened: its reconcile is asked if it has one, "
            "else the run waits for a person."
        )
    if call.status in ("unknown", "started"):
        return f"{which} has no recorded end and is {verb} again, under the same key."
    if call.not_started:
        return f"{which} did not happen and is {verb} again."
    same_attempt = not new_attempt and call.attempt_index == record.attempt_index
    if call.effect == "once" or same_attempt:
        return f"{which} failed, and is not {verb} again: the step is given its recorded error."
    return f"{which} failed, and is {verb} again."


class _Commands:
    """Writes the commands for one run."""

    def __init__(self, record: RunRecord, location: str) -> None:
        self._chat = record.agent.name == CHAT_AGENT
        self._place = ("--run-id", record.run_id, "--db", location)
        # A run whose agent was made in code has no reference that `resume` could load by itself.
        self._agent = () if record.agent.reference is not None or self._chat else ("AGENT",)

    def decide_again(self, call: CallRecord) -> tuple[Command, ...]:
        """Return how a person overrules what is recorded of a ``once`` call of the failed step."""
        if call.decided_by not in (None, "reconcile"):
            does = f"if what {call.decided_by} decided of call {call.call_id} was wrong, decide it again"
            command = self._decide(call.call_id, does, "--result", "JSON")
            if call.not_started:
                return (command,)
            return (command, self._decide(call.call_id, "or, if it did not happen", "--retry"))
        if call.effect != "once" or call.status != "failed" or call.not_started:
            return ()
        does = f"if call {call.call_id} has to be made again, which only a person can allow"
        return (self._decide(call.call_id, does, "--retry"),)

    def resume(self, does: str, *options: str) -> Command:
        program = "loom-run" if self._chat else "loom-runner"
        return Command(does=does, words=(program, "resume", *self._agent, *self._place, *options))

    def explain(self, does: str) -> Command:
        return Command(does=does, words=("loom-run" if self._chat else "loom-runner", "explain", *self._place))

    def chat(self) -> Command:
        return Command(does="answer", words=("loom-run", "chat", "YOUR MESSAGE", *self._place))

    def answer(self, does: str, verb: str, question_id: str, asked: ApprovalRecord | None) -> Command:
        # Who may answer is known by name: the account that pastes the command may be called otherwise.
        who = ("--as", "NAME") if asked is not None and asked.approvers else ()
        return Command(does=does, words=("loom-runner", verb, question_id, *self._place, *who))

    def signal(self, name: str) -> Command:
        return Command(does="send it", words=("loom-runner", "signal", name, *self._place, "--payload", "JSON"))

    def resolve(self, doubt: InDoubt) -> tuple[Command, ...]:
        return (
            self._decide(doubt.call_id, f"call {doubt.call_id} happened, and this was its result", "--result", "JSON"),
            self._decide(doubt.call_id, "it did not happen: make it again", "--retry"),
            self._decide(doubt.call_id, "it failed: tell the step so", "--fail", "MESSAGE"),
        )

    def _decide(self, call_id: str, does: str, *decision: str) -> Command:
        words = ("loom-runner", "resolve", call_id, *decision, *self._place)
        return Command(does=does, words=words, call_id=call_id)
