"""`loom models test NAME`."""

from __future__ import annotations

import asyncio
import time

import attrs
import click
from loom_cli import ExitStatus, Invocation, Output, common_options, examples, pass_invocation
from loom_cli.text import duration

from loom_core.contracts.models import Finish, Message, ModelRequest, RefusalDelta, TextDelta, Usage
from loom_core.errors import BadInput, ModelFailed

PROMPT = "Say hello in one short sentence."
_MAX_TOKENS = 64


@attrs.define
class Trial:
    """What one question brought."""

    started: float
    text: str = ""
    usage: Usage | None = None
    finish: str | None = None
    first_event_s: float | None = None
    seconds: float = 0.0


@click.command(
    "test",
    epilog=examples("loom models test local:smollm2", "loom models test openai:gpt-5-mini --json"),
)
@click.argument("name", required=False)
@common_options
@pass_invocation
def test_command(invocation: Invocation, name: str | None) -> int:
    """Ask a model one short question: does it answer, how fast, for how many tokens?

    NAME is PREFIX:MODEL and defaults to the configured model (LOOM_MODEL).
    """
    model = name or invocation.config.model
    if model is None:
        raise BadInput("no model was named and none is configured", hint="see those there are: loom models list")
    out = invocation.output
    trial = asyncio.run(_asked(invocation, model))
    tokens = None
    if trial.usage:
        tokens = {
            "input": trial.usage.input_tokens,
            "output": trial.usage.output_tokens,
            "estimated": trial.usage.estimated,
        }
    if out.as_json:
        facts = {
            "model": model,
            "answer": trial.text,
            "finish": trial.finish,
            "tokens": tokens,
            "first_event_s": trial.first_event_s,
            "seconds": trial.seconds,
        }
        out.document("loom.models.test/1", facts)
    else:
        _print(out, model, trial)
    return ExitStatus.DONE


async def _asked(invocation: Invocation, name: str) -> Trial:
    runtime = invocation.runtime()
    try:
        backend, model = runtime.model(name)
        request = ModelRequest(model=model, messages=(Message(role="user", content=PROMPT),), max_tokens=_MAX_TOKENS)
        trial = Trial(started=time.monotonic())
        async for event in backend.stream(request):
            if trial.first_event_s is None:
                trial.first_event_s = round(time.monotonic() - trial.started, 3)
            if isinstance(event, TextDelta | RefusalDelta):
                trial.text += event.text
            elif isinstance(event, Usage):
                trial.usage = event
            elif isinstance(event, Finish):
                trial.finish = event.reason
        trial.seconds = round(time.monotonic() - trial.started, 3)
    finally:
        await runtime.aclose()
    if trial.finish is None:
        raise ModelFailed(f"`{name}` stopped in the middle of its answer")
    return trial


def _print(out: Output, model: str, trial: Trial) -> None:
    usage = trial.usage
    tokens = "not reported"
    if usage:
        tokens = f"{usage.input_tokens} in, {usage.output_tokens} out{' (estimated)' if usage.estimated else ''}"
    out.fields(
        [
            ("model", model),
            ("answer", trial.text.strip() or "(no text)"),
            ("finish", trial.finish or "–"),
            ("tokens", tokens),
            ("first token", "–" if trial.first_event_s is None else duration(trial.first_event_s)),
            ("in all", duration(trial.seconds)),
        ]
    )
