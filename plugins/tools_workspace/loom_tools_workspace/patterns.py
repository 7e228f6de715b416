"""Patterns of paths: globs with ``**``, and the subset of ``.gitignore`` that listing and searching respect."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable

import attrs

from loom_tools_workspace.refusals import WorkspaceRefusal

_LONGEST_PATTERN = 500
_MOST_ALTERNATIVES = 32
_MOST_RULES = 500

# None stands for ``**``: any number of folders.
Segment = Callable[[str], object] | None


@attrs.frozen
class PathPattern:
    """A glob over the parts of a relative path.

    Without a slash it matches the last part anywhere; with one, the whole path. ``*``, ``?`` and ``[…]`` stay within a
    part, ``**`` is any number of parts. Matching takes time proportional to pattern times path, whatever they are.
    """

    segments: tuple[Segment, ...]

    @classmethod
    def parse(cls, pattern: str, *, anchored: bool | None = None) -> PathPattern:
        """Return the pattern; ``anchored`` overrides the rule about the slash."""
        parts = [part for part in pattern.split("/") if part not in ("", ".")]
        if anchored is None:
            anchored = "/" in pattern
        if not anchored:
            parts.insert(0, "**")
        return cls(tuple(None if part == "**" else _segment(part) for part in parts))

    def matches(self, parts: tuple[str, ...]) -> bool:
        """Say whether the path with these parts matches."""
        last = self.segments[-1] if self.segments else None
        if last is not None and not (parts and last(parts[-1])):
            return False  # the usual answer, given without a walk
        states = self._with_empty({0})
        for part in parts:
            states = self._with_empty(set(self._after(states, part)))
            if not states:
                return False
        return len(self.segments) in states

    def _after(self, states: set[int], part: str) -> Iterable[int]:
        for state in states:
            if state == len(self.segments):
                continue
            segment = self.segments[state]
            if segment is None:
                yield state
            elif segment(part):
                yield state + 1

    def _with_empty(self, states: set[int]) -> set[int]:
        for state in sorted(states):
            while state < len(self.segments) and self.segments[state] is None:
                state += 1
                states.add(state)
        return states


def parse_asked_pattern(pattern: str) -> tuple[PathPattern, ...]:
    """Return the alternatives of a pattern that the model gave; ``{a,b}`` is understood."""
    if not pattern.strip() or len(pattern) > _LONGEST_PATTERN or "\0" in pattern:
        raise WorkspaceRefusal(f"a pattern has 1 to {_LONGEST_PATTERN} characters, such as `*.py` or `docs/**/*.md`")
    return tuple(PathPattern.parse(alternative) for alternative in _alternatives(pattern))


@attrs.frozen
class IgnoreRule:
    """One line of ``.gitignore``."""

    pattern: PathPattern
    negated: bool
    folders_only: bool


@attrs.frozen
class IgnoreRules:
    """The rules of the ``.gitignore`` at the top of the workspace; later rules win, as in git.

    Files of the same name further down, ``.git/info/exclude`` and the user's global file are not read.
    """

    rules: tuple[IgnoreRule, ...] = ()

    @classmethod
    def parse(cls, text: str) -> IgnoreRules:
        """Return the rules in ``text``, the first 500 of them."""
        rules = (_rule(line) for line in text.splitlines())
        return cls(tuple(rule for rule in rules if rule is not None)[:_MOST_RULES])

    def ignores(self, parts: tuple[str, ...], *, folder: bool) -> bool:
        """Say whether this path is ignored, given that no folder above it is."""
        for rule in reversed(self.rules):
            if (folder or not rule.folders_only) and rule.pattern.matches(parts):
                return not rule.negated
        return False


def _rule(line: str) -> IgnoreRule | None:
    line = line.rstrip()
    if not line or line.startswith("#") or len(line) > _LONGEST_PATTERN:
        return None
    negated = line.startswith("!")
    body = line[1:] if negated else line
    folders_only = body.endswith("/")
    body = body.rstrip("/")
    if not body:
        return None
    return IgnoreRule(PathPattern.parse(_unescaped(body), anchored="/" in body), negated, folders_only)


def _unescaped(body: str) -> str:
    # fnmatch knows no backslash; a one-character class says the same.
    return re.sub(r"\\(.)", lambda found: f"[{found[1]}]" if found[1] in "*?[" else found[1], body)


def _segment(part: str) -> Segment:
    # fnmatch's expressions use atomic groups, so that no pattern makes them slow; test_patterns holds that.
    return re.compile(fnmatch.translate(part)).match


def _alternatives(pattern: str) -> list[str]:
    waiting, done = [pattern], []
    while waiting:
        current = waiting.pop(0)
        braces = re.search(r"\{([^{}]*,[^{}]*)\}", current)
        if braces is None:
            done.append(current)
        else:
            waiting += [current[: braces.start()] + word + current[braces.end() :] for word in braces[1].split(",")]
        if len(waiting) + len(done) > _MOST_ALTERNATIVES:
            raise WorkspaceRefusal(f"a pattern stands for at most {_MOST_ALTERNATIVES} alternatives in braces")
    return done
