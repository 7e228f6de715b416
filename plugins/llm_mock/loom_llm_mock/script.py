"""Scripts: a JSON list of rules, read strictly, of which the first that fits a request answers it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import attrs

from loom_core.contracts.models import FinishReason, Message, ModelRequest, Role, Usage
from loom_core.errors import ConfigError, ErrorCategory, ModelFailed
from loom_llm_mock.answer import Answer
from loom_llm_mock.fields import anything, count, flag, items, object_or_text, one_of, read_fields, seconds, text

SETTING = "plugins.llm_mock.script"
LONGEST_DELAY_S = 3600.0

_WHEN = {"last_role": one_of(get_args(Role)), "contains": text, "turn": count}
_RULE = {
    "when": anything,
    "delay_s": seconds(LONGEST_DELAY_S),
    "thinking": text,
    "text": text,
    "refusal": text,
    "tool_calls": items,
    "usage": anything,
    "finish": one_of(get_args(FinishReason)),
    "error": anything,
    "cut": flag,
}
_CALL = {"name": text, "arguments": object_or_text}
_USAGE = dict.fromkeys(("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"), count)
_ERROR = {"category": one_of(tuple(category.value for category in ErrorCategory)), "message": text}


@attrs.frozen(kw_only=True)
class Rule:
    """One rule. Conditions left out fit everything.

    ``contains`` looks into the last message without regard to case; ``turn`` counts the assistant messages that
    precede, from 0; ``last_role`` is the last message's.
    """

    answer: Answer
    last_role: str | None = None
    contains: str | None = None
    turn: int | None = None

    def fits(self, request: ModelRequest) -> bool:
        """Say whether the rule answers this request."""
        last = _last(request)
        turn = sum(message.role == "assistant" for message in request.messages)
        return (
            self.last_role in (None, last.role)
            and (self.contains is None or self.contains.casefold() in last.content.casefold())
            and self.turn in (None, turn)
        )


@attrs.frozen(kw_only=True)
class Script:
    """The rules of one file, in its order."""

    path: Path
    rules: tuple[Rule, ...]

    def answer(self, request: ModelRequest) -> Answer:
        """Return the first fitting rule's answer; a request that no rule fits is an error, never a made-up answer."""
        for rule in self.rules:
            if rule.fits(request):
                return rule.answer
        last = _last(request)
        raise ModelFailed(
            f"no rule of {self.path} fits a request that ends with a {last.role} message: {last.content[:80]!r}",
            error_category=ErrorCategory.VALIDATION,
            hint='add a rule to the script; one without "when" fits everything',
        )


def load_script(path: Path) -> Script:
    """Read a script; raises ``ConfigError`` that carries every fault with its place. Nothing is guessed or skipped."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _unusable(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise _unusable(f"{path} is not JSON: {error}") from error
    if not isinstance(document, list):
        raise _unusable(f"{path} must be a JSON list of rules")
    faults: list[str] = []
    rules = tuple(_rule(item, f"[{index}]", faults) for index, item in enumerate(document))
    if faults:
        raise _unusable(*(f"{path}: {fault}" for fault in faults))
    return Script(path=path, rules=rules)


def _unusable(*faults: str) -> ConfigError:
    return ConfigError(
        tuple(f"{SETTING}: {fault}" for fault in faults), hint="the form of a script is in docs/models.md"
    )


def _last(request: ModelRequest) -> Message:
    return request.messages[-1] if request.messages else Message(role="user")


def _rule(item: object, place: str, faults: list[str]) -> Rule:
    given = read_fields(item, _RULE, place, faults)
    if isinstance(item, dict):
        faults += [f"{place}: {fault}" for fault in _contradictions(item)]
    when = read_fields(given.pop("when", {}), _WHEN, f"{place}.when", faults)
    given["tool_calls"] = tuple(
        _call(call, f"{place}.tool_calls[{number}]", faults) for number, call in enumerate(given.get("tool_calls", ()))
    )
    if "usage" in given:
        given["usage"] = _usage(given["usage"], f"{place}.usage", faults)
    if "error" in given:
        given["error"] = _error(given["error"], f"{place}.error", faults)
    return Rule(answer=Answer(**given), **when)


def _contradictions(item: Mapping[str, object]) -> list[str]:
    faults: list[str] = []
    endings = [name for name in ("error", "cut", "finish") if item.get(name)]
    if len(endings) > 1:
        faults.append(f"{' and '.join(endings)} exclude each other")
    finish, calls = item.get("finish"), item.get("tool_calls")
    if finish not in (None, "tool_calls") and calls:
        faults.append(f"an answer with tool_calls cannot finish with {finish!r}")
    if finish == "tool_calls" and not calls:
        faults.append("finish 'tool_calls' needs tool_calls")
    if not item.keys() & {"text", "tool_calls", "refusal", "error", "cut", "finish"}:
        faults.append("says nothing; give it text, tool_calls, refusal, finish, error or cut")
    return faults


def _call(item: object, place: str, faults: list[str]) -> tuple[str, str]:
    given = read_fields(item, _CALL, place, faults)
    if isinstance(item, dict) and not item.get("name"):
        faults.append(f"{place}.name: missing")
    arguments = given.get("arguments", {})
    return given.get("name", ""), arguments if isinstance(arguments, str) else json.dumps(arguments)


def _usage(item: object, place: str, faults: list[str]) -> Usage | None:
    given = read_fields(item, _USAGE, place, faults)
    if isinstance(item, dict) and (missing := {"input_tokens", "output_tokens"} - item.keys()):
        faults.append(f"{place}: {' and '.join(sorted(missing))} missing")
    return Usage(**given) if {"input_tokens", "output_tokens"} <= given.keys() else None


def _error(item: object, place: str, faults: list[str]) -> tuple[ErrorCategory, str]:
    given = read_fields(item, _ERROR, place, faults)
    if isinstance(item, dict) and not item.get("message"):
        faults.append(f"{place}.message: missing")
    return ErrorCategory(given.get("category", "unknown")), given.get("message", "")
