"""Random recursive async functions, as source text, for the differential test."""

from __future__ import annotations

from random import Random

HEADER = """\
import asyncio
LOG = []
G = 5

def e(tag, value):
    LOG.append((tag, repr(value)))
    assert len(LOG) < 100_000, "an endless program"
    if value == 13:
        raise ValueError("unlucky", tag)
    return value

async def w(tag, value):
    LOG.append(("before", tag))
    await asyncio.sleep(0)
    return e(tag, value)

def outside():
    c = 7
    def bump():
        nonlocal c
        c += 1
        return c
"""


class Program:
    """One function ``f`` of one to six parameters; the first is fuel, so that every program ends."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.tag = 0
        self.lines: list[str] = []
        names = ["a", "b", "d", "k", "m"][: random.randint(0, 5)]
        self.positional_only = random.randint(0, 1) if names else 0
        self.keyword_only = [name for name in names if name in ("k", "m")]
        self.positional = [name for name in names if name not in self.keyword_only]
        self.defaults = {name: random.randint(0, 4) for name in self.keyword_only if random.random() < 0.6}
        rest = list(reversed(self.positional))
        for name in rest:
            if random.random() < 0.5:
                break
            self.defaults[name] = random.randint(0, 4)
        self.parameters = ["n", *names]

    def source(self, decorator: str) -> str:
        signature = ["n"] + (["/"] if self.positional_only else [])
        signature += [self.parameter(name) for name in self.positional]
        signature += ["*", *(self.parameter(name) for name in self.keyword_only)] if self.keyword_only else []
        if not self.lines:
            self.body()
        body = "\n".join("        " + line for line in self.lines)
        first = " ".join(f"{name}=1," for name in self.parameters if name != "n" and name not in self.defaults)
        run = f"    return lambda n: f(n, {first})"
        return f"{HEADER}    {decorator}\n    async def f({', '.join(signature)}):\n{body}\n{run}\n"

    def parameter(self, name: str) -> str:
        return f"{name}=e('default', {self.defaults[name]})" if name in self.defaults else name

    def body(self) -> None:
        if self.random.random() < 0.3:
            self.lines.append("'''Documented.'''")
        if self.random.random() < 0.3:
            self.lines.append("nonlocal c")
        if self.random.random() < 0.2:
            self.lines.append("global G")
        self.lines.append("if n <= 0:")
        self.lines.append(f"    return ({self.expression()}, {', '.join(self.parameters)})")
        self.lines += [
            f"{name} = {self.random.randint(0, 3)}" for name in ("l0", "l1", "l2") if self.random.random() < 0.8
        ]
        self.block(0, 3)
        if self.random.random() < 0.8:
            self.tail(0)

    def block(self, indent: int, depth: int) -> None:
        for _ in range(self.random.randint(1, 3)):
            self.statement(indent, depth)

    def statement(self, indent: int, depth: int) -> None:
        kinds = ["assign", "effect", "augment", "shared"]
        if depth:
            kinds += ["if", "if", "for", "while", "match", "try", "with", "forelse", "del"]
        match self.random.choice(kinds):
            case "assign":
                self.emit(indent, f"{self.random.choice(self.writable())} = {self.expression()}")
            case "effect":
                self.emit(indent, self.expression())
            case "augment":
                self.emit(indent, f"{self.random.choice(self.writable())} += {self.expression()}")
            case "shared":
                target = self.random.choice(["c", "G"])
                declared = ("nonlocal c" if target == "c" else "global G") in self.lines
                self.emit(indent, f"{target} = {target} + 1" if declared else f"e('bump', bump() + {target})")
            case "del":
                self.emit(indent, f"l0 = {self.expression()}")
                self.emit(indent, self.random.choice(["del l0", "del l0; l0 = 1"]))
            case "if":
                self.emit(indent, f"if {self.condition()}:")
                self.branch(indent + 1, depth - 1)
                if self.random.random() < 0.5:
                    self.emit(indent, "else:")
                    self.branch(indent + 1, depth - 1)
            case "for" | "forelse" as kind:
                prefix = self.random.choice(["for i in", "for l1 in"])
                self.emit(indent, f"{prefix} range({self.random.randint(0, 3)}):")
                self.branch(indent + 1, depth - 1, loop=True)
                if kind == "forelse":
                    self.emit(indent, "else:")
                    self.branch(indent + 1, depth - 1)
            case "while":
                # A counter of its own: an inner loop that reset it would make the outer one endless.
                self.tag += 1
                self.emit(indent, f"j{self.tag} = 0")
                self.emit(indent, f"while j{self.tag} < {self.random.randint(1, 3)}:")
                self.emit(indent + 1, f"j{self.tag} += 1")
                self.branch(indent + 1, depth - 1, loop=True)
            case "match":
                self.emit(indent, f"match {self.expression()}:")
                self.emit(indent + 1, f"case {self.random.randint(0, 3)}:")
                self.branch(indent + 2, depth - 1)
                self.emit(indent + 1, f"case int(l2) if {self.condition()}:")
                self.branch(indent + 2, depth - 1)
                if self.random.random() < 0.5:
                    self.emit(indent + 1, "case _:")
                    self.branch(indent + 2, depth - 1)
            case "try":
                self.emit(indent, "try:")
                self.emit(indent + 1, f"{self.random.choice(self.writable())} = {self.expression()}")
                self.emit(indent, "except (ValueError, NameError, TypeError) as l0:")
                self.emit(indent + 1, f"l1 = {self.expression()}")
            case _:
                self.emit(indent, "with __import__('contextlib').suppress(Exception):")
                self.emit(indent + 1, f"{self.random.choice(self.writable())} = {self.expression()}")

    def branch(self, indent: int, depth: int, *, loop: bool = False) -> None:
        self.block(indent, depth)
        roll = self.random.random()
        if roll < 0.4:
            self.tail(indent)
        elif roll < 0.5:
            self.emit(indent, f"return {self.expression()}")
        elif loop and roll < 0.7:
            self.emit(indent, self.random.choice(["break", "continue"]))

    def tail(self, indent: int) -> None:
        call = f"await f({self.arguments()})"
        match self.random.randint(0, 3):
            case 0:
                self.emit(indent, f"return {call} if {self.condition()} else {self.expression()}")
            case 1:
                other = f"await f({self.arguments()})"
                self.emit(indent, f"return {self.expression()} if {self.condition()} else ({call} if n else {other})")
            case 2:
                self.emit(indent, f"return ({call})")
            case _:
                self.emit(indent, f"return {call}")

    def arguments(self) -> str:
        given = [name for name in self.positional if name not in self.defaults or self.random.random() < 0.7]
        by_position: list[str] = []
        for name in self.positional:
            if name not in given or self.random.random() < 0.3:
                break
            by_position.append(name)
        by_keyword = [name for name in given if name not in by_position]
        by_keyword += [name for name in self.keyword_only if name not in self.defaults or self.random.random() < 0.7]
        self.random.shuffle(by_keyword)
        parts = ["n - 1", *(self.argument(name) for name in by_position)]
        return ", ".join([*parts, *(f"{name}={self.argument(name)}" for name in by_keyword)])

    def argument(self, name: str) -> str:
        return name if self.random.random() < 0.3 else self.expression()

    def condition(self) -> str:
        return self.random.choice([f"{self.atom()} % 2", f"n % 2 == {self.random.randint(0, 1)}", self.expression()])

    def expression(self, depth: int = 2) -> str:
        if not depth or self.random.random() < 0.25:
            return self.atom()
        one, other = self.expression(depth - 1), self.expression(depth - 1)
        self.tag += 1
        return self.random.choice(
            [
                f"({one} + {other})",
                f"({one} + {other})",
                f"e({self.tag}, {one})",
                f"(await w({self.tag}, {one}))",
                f"({self.random.choice(self.writable())} := {one})",
                f"({one} if {self.atom()} else {other})",
                f"({one} and {other})",
                f"sum([{self.atom()} + q for q in range(2)])",
                f"{{ {one}: {other} }}.popitem()[1]",
                f"(lambda q=({one}): q)()",
            ]
        )

    def atom(self) -> str:
        others = ["l0", "l1", "l2", str(self.random.randint(0, 13)), "c", "G", "bump()"]
        return self.random.choice([*self.parameters * 3, *others])

    def writable(self) -> list[str]:
        return [*self.parameters[1:], "l0", "l1", "l2"]

    def emit(self, indent: int, line: str) -> None:
        self.lines.append("    " * indent + line)
