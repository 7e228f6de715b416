"""A random signature, and random arguments for a call of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.core.tailcalls.programs import Body, Tape


class Signature:
    """``n`` is fuel; ``a b d`` go by position, ``k m`` by keyword; ``r`` and ``o`` take the rest."""

    def __init__(self, tape: Tape, first: str | None = None) -> None:
        self.first = first
        names = ["a", "b", "d", "k", "m"][: tape.between(0, 5)]
        self.positional = ["n", *(name for name in names if name in "abd")]
        self.keyword_only = [name for name in names if name in "km"]
        self.positional_only = tape.between(0, len(self.positional)) if tape.chance(25) else 0
        self.star = "r" if tape.chance(20) else None
        self.stars = "o" if tape.chance(20) else None
        self.defaults = {name: str(tape.below(5)) for name in tape.some(self.keyword_only, 60)}
        for name in reversed(self.positional[1:]):
            if not tape.chance(50):
                break
            self.defaults[name] = str(tape.below(5))

    @property
    def plain(self) -> list[str]:
        return [*self.positional, *self.keyword_only]

    @property
    def names(self) -> list[str]:
        spread = (self.star, self.stars)
        return [*([self.first] if self.first else []), *self.plain, *(name for name in spread if name)]

    @property
    def sizes(self) -> list[str]:
        """Expressions for numbers made of what the spread parameters hold."""
        return [*(["len(r)", "sum(r)"] if self.star else []), *(["len(o)", "len(str(o))"] if self.stars else [])]

    def text(self) -> str:
        parts = [self._parameter(name) for name in self.positional]
        if self.positional_only:
            parts.insert(self.positional_only, "/")
        if self.first:
            parts.insert(0, self.first)
        if self.star:
            parts.append("*r")
        elif self.keyword_only:
            parts.append("*")
        parts += [self._parameter(name) for name in self.keyword_only]
        return ", ".join([*parts, *(["**o"] if self.stars else [])])

    def _parameter(self, name: str) -> str:
        return f"{name}=e('default', {self.defaults[name]})" if name in self.defaults else name

    def outer(self, fuel: str = "n") -> str:
        """Return arguments for the call that starts the recursion."""
        required = [name for name in self.positional[1:] if name not in self.defaults]
        named = [f"{name}=2" for name in self.keyword_only if name not in self.defaults]
        return ", ".join([fuel, *("1" for _ in required), *named])

    def arguments(self, body: Body, *, plain: bool = False) -> tuple[str, bool]:
        """Return the arguments of a tail call, and whether they are sure to fit the signature."""
        tape = body.tape
        if not plain and tape.chance(4):
            return self._misfit(body), False
        given = [name for name in self.positional if name not in self.defaults or tape.chance(70)]
        by_position: list[str] = []
        for name in self.positional:
            if name not in given or (name not in self.positional[: self.positional_only] and tape.chance(25)):
                break
            by_position.append(name)
        # What is positional only and stands behind a default that was left out has to be left out too.
        only = self.positional[: self.positional_only]
        given = [name for name in given if name in by_position or name not in only]
        if any(name in only and name not in by_position and name not in self.defaults for name in self.positional):
            by_position = list(self.positional)
            given = list(self.positional)
        values = {name: self._value(body, name) for name in self.plain}
        positional = [values[name] for name in by_position]
        keywords = [name for name in given if name not in by_position]
        keywords += [name for name in self.keyword_only if name not in self.defaults or tape.chance(70)]
        named = [f"{name}={values[name]}" for name in tape.shuffled(keywords)]
        if plain:
            return ", ".join([*positional, *named]), True
        if self.star and by_position == self.positional and tape.chance(50):
            positional += [body.expression(1) for _ in range(tape.between(0, 2))]
            positional += ["*r"] if tape.chance(40) else []
        if self.stars:
            named += [f"{name}={body.expression(1)}" for name in tape.some([*only, "z1", "z2"], 30)]
            # Twice the same keyword is an error that Python raises when the call is made.
            named += [f"**{{**o, 'z1': {body.atom()}}}"] if tape.chance(15) else []
            named += ["**o"] if tape.chance(20) else []
        if tape.chance(10):
            positional = [*positional[:-1], f"*[{positional[-1]}]" if positional else "*()"]
        if named and tape.chance(10) and "=" in named[-1] and not named[-1].startswith("**"):
            name, value = named[-1].split("=", 1)
            named[-1] = f"**{{{name!r}: {value}}}"
        if (
            named
            and positional
            and positional[-1].startswith("*")
            and not named[-1].startswith("**")
            and tape.chance(30)
        ):
            return ", ".join([*positional[:-1], *named, positional[-1]]), True
        return ", ".join(positional + named), True

    def _value(self, body: Body, name: str) -> str:
        if name == "n":
            return "n - 1"
        return name if body.tape.chance(30) else body.expression()

    def _misfit(self, body: Body) -> str:
        extra = body.expression(1)
        return body.tape.choice(
            [
                ", ".join([*("n - 1" if name == "n" else "1" for name in self.positional), extra, "2"]),
                f"n - 1, unknown={extra}",
                f"n - 1, n={extra}",
                f"n - 1, **{{'unknown': {extra}}}",
                f"n - 1, *({extra}, 1, 2, 3, 4)",
            ]
        )
