"""Random recursive functions as source text: the choices, the signature and the body."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from tests.core.tailcalls.programs_faults import Fault
from tests.core.tailcalls.programs_signature import Signature

_T = TypeVar("_T")

# Around an awaited tail call, so that a reference can be written from the same text (see programs_shapes).
TAIL, END = "«", "»"


class Tape:
    """Choices read from bytes that hypothesis draws; where the tape ends every choice is the first, the simplest."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1] if self.at <= len(self.data) else 0

    def below(self, limit: int) -> int:
        return self.byte() % limit

    def between(self, low: int, high: int) -> int:
        return low + self.below(high - low + 1)

    def choice(self, among: Sequence[_T]) -> _T:
        return among[self.below(len(among))]

    def chance(self, percent: int) -> bool:
        return self.byte() >= 256 * (100 - percent) / 100

    def some(self, among: Iterable[_T], percent: int) -> list[_T]:
        return [one for one in among if self.chance(percent)]

    def shuffled(self, among: Iterable[_T]) -> list[_T]:
        rest = list(among)
        return [rest.pop(self.below(len(rest))) for _ in range(len(rest))]


class Body:
    """The lines of one function whose first parameter is fuel, so that every program ends.

    ``keyword`` makes ``c`` of the scope around writable. ``callees`` are those that may
    stand in a tail call, with the signature that each has.
    """

    calls_itself = True  # in nested functions

    def __init__(
        self,
        tape: Tape,
        signature: Signature,
        callees: Sequence[tuple[str, Signature]],
        *,
        keyword: str = "nonlocal",
        leave_first: bool = False,
        extra: Sequence[str] = (),
    ) -> None:
        self.tape = tape
        self.signature = signature
        self.callees = callees
        self.keyword = keyword
        self.leave_first = leave_first
        self.extra = extra
        self.lines: list[str] = []
        self.tag = 0
        self.blocks = 0  # how many try and with blocks the next line stands in
        self.final = 0  # how many `finally` blocks
        self.fitting = 0  # tail calls that fit the signature
        self.closures = tape.chance(35)
        self.names_seen = tape.chance(8)
        self.written: list[str] = []
        self.planted: Fault | None = None

    def write(self, fault: Fault | None = None) -> list[str]:
        """Fill ``lines`` with a body that has at least one tail call that fits."""
        self.head()
        if fault is not None:
            self.plant(fault)
        self.block(0, 3)
        if not self.fitting or self.tape.chance(92):
            self.tail(0, plain=not self.fitting)
        return self.lines

    def plant(self, fault: Fault) -> None:
        """Put a use of the function that is no tail call behind the first lines."""
        self.planted = fault
        # Without `:=`, which may not stand in what a comprehension loops over.
        call = self.call(plain=True).replace(" := ", " and ")
        self.fitting = 0
        self.emit(0, f"if {self.condition()}:")
        for line in fault.lines:
            if fault.in_block:
                self.emit(1, line.replace("await CALL", call).replace("CALL", call))
            else:
                self.emit(1, line.replace("CALL", call.strip(TAIL + END).removeprefix("await ")))

    def head(self) -> None:
        if self.tape.chance(25):
            self.emit(0, "'''Documented.'''")
        for name, keyword in (("c", self.keyword), ("G", "global")):
            match self.tape.below(4):
                case 1:
                    self.emit(0, f"{keyword} {name}")
                    self.written.append(name)
                case 2 if self.tape.chance(50):
                    self.emit(0, "if n % 2:")
                    self.emit(1, f"{keyword} {name}")
                    self.emit(1, f"{name} = {name} + n")
                    self.written.append(name)
        self.emit(0, "if n <= 0:")
        self.emit(1, self.last_words())
        for name in ("l0", "l1", "l2"):
            if not self.tape.chance(5):
                self.emit(0, f"{name} = {self.tape.choice(['0', '1', '2', 'n', self.number()])}")

    def last_words(self) -> str:
        values = ", ".join(one for one in self.signature.names if one != self.signature.first)
        return f"return ({self.expression()}, {values})"

    def block(self, indent: int, depth: int) -> None:
        for _ in range(self.tape.between(1, 3)):
            self.statement(indent, depth)

    def statement(self, indent: int, depth: int) -> None:
        kinds = ["assign", "effect", "augment", "share", "unpack", "annotated", "maybe"]
        if self.closures:
            kinds += ["closure", "closure", "again"]
        if self.names_seen:
            kinds.append("look")
        if depth:
            kinds += ["if_", "if_", "if_", "for_", "for_", "while_", "while_true", "match", "try_", "with_", "del_"]
        getattr(self, self.tape.choice(kinds))(indent, depth)

    def assign(self, indent: int, depth: int) -> None:
        self.emit(indent, f"{self.target()} = {self.expression()}")

    def effect(self, indent: int, depth: int) -> None:
        self.emit(indent, self.expression())

    def augment(self, indent: int, depth: int) -> None:
        self.emit(indent, f"{self.target()} += {self.expression()}")

    def share(self, indent: int, depth: int) -> None:
        name = self.tape.choice(["c", "G"])
        self.emit(indent, f"{name} += 1" if name in self.written else f"e({self.next_tag()}, bump() + c + G)")

    def unpack(self, indent: int, depth: int) -> None:
        one = self.tape.choice(["l0, l1", "(l0, *l3)", "l2, l0"])
        self.emit(indent, f"{one} = {self.expression()}, {self.expression()}")

    def annotated(self, indent: int, depth: int) -> None:
        self.emit(indent, self.tape.choice(["l1: int", "l1: int = 3", f"assert e({self.next_tag()}, l1) is not None"]))

    def maybe(self, indent: int, depth: int) -> None:
        """A variable of its own that is bound in some iterations only; reading it may raise."""
        self.emit(indent, f"if n % {self.tape.between(2, 3)} == {self.tape.below(2)}:")
        name = f"u{self.tape.below(2)}"
        self.emit(indent + 1, f"{name} = {self.atom()}")
        if self.tape.chance(40):
            self.emit(indent, "try:")
            self.emit(indent + 1, f"e({self.next_tag()}, {name})")
            self.emit(
                indent, "except UnboundLocalError as error:" if not self.closures else "except NameError as error:"
            )
            self.emit(indent + 1, f"e({self.next_tag()}, str(error))")

    def closure(self, indent: int, depth: int) -> None:
        one, other = self.variable(), self.variable()
        name = self.next_tag()
        match self.tape.below(10):
            case 9 if self.calls_itself:
                callee, signature = self.callees[0]
                arguments, _ = signature.arguments(self, plain=True)
                self.emit(indent, f"async def h{name}():")
                self.emit(indent + 1, f"return await {callee}({arguments.replace('n - 1', 'n // 5')})")
                # Not the value itself: a tuple that is added to itself again and again takes all memory.
                self.emit(indent, f"{self.target()} = 1 if e({self.next_tag()}, await h{name}()) else 2")
            case 0:
                self.emit(indent, f"keep(lambda: ({one}, {other}))")
            case 1:
                self.emit(indent, f"keep(lambda x={one}: (x, {other}))")
            case 2:
                self.emit(indent, f"keep(({one} + q for q in range(3)).__next__)")
            case 3:
                mine = self.tape.choice(self.signature.plain[1:] or ["l0"])
                self.emit(indent, f"{mine} = {self.atom()}")
                self.emit(indent, f"def g{name}():")
                self.emit(indent + 1, f"nonlocal {mine}")
                self.emit(indent + 1, f"{mine} = {mine} + 1")
                self.emit(indent + 1, f"return {mine}, {other}")
                self.emit(indent, f"keep(g{name})")
            case 4:
                self.emit(indent, f"class C{name}:")
                self.emit(indent + 1, f"x = {one}")
                self.emit(indent + 1, f"def m(self): return self.x, {other}")
                self.emit(indent, f"keep(C{name}().m)")
            case 5:
                self.emit(indent, f"for z in [lambda: (q, {one}) for q in range(2)]: keep(z)")
            case 6:
                self.emit(indent, f"async def h{name}(v):")
                self.emit(indent + 1, f"return v + {one} + (await w({self.next_tag()}, {other}))")
                self.emit(indent, f"{self.target()} = await h{name}(1)")
            case 7:
                self.emit(indent, f"[keep(lambda: {one}) for q in range(2)]")
            case _:
                self.emit(indent, f"for l3 in range(2): keep(lambda: (l3, {one}))")

    def again(self, indent: int, depth: int) -> None:
        self.emit(indent, f"again({self.tape.between(1, 3)})")

    def look(self, indent: int, depth: int) -> None:
        looks = [
            "snap(locals())",
            "snap(vars())",
            "snap(dict.fromkeys(dir()))",
            "e(0, eval('n + 1'))",
            "exec('l0 = 5')",
        ]
        self.emit(indent, self.tape.choice(looks))

    def del_(self, indent: int, depth: int) -> None:
        name = self.tape.choice(["l0", self.target(), self.target()])
        self.emit(indent, f"{name} = {self.expression()}")
        self.emit(indent, f"del {name}" if self.tape.chance(25) else f"del {name}; {name} = 2")

    def if_(self, indent: int, depth: int) -> None:
        self.emit(indent, f"if {self.condition()}:")
        self.branch(indent + 1, depth - 1)
        if self.tape.chance(25):
            self.emit(indent, f"elif {self.condition()}:")
            self.branch(indent + 1, depth - 1)
        if self.tape.chance(50):
            self.emit(indent, "else:")
            self.branch(indent + 1, depth - 1)

    def for_(self, indent: int, depth: int) -> None:
        target = self.tape.choice(["i", "l1", "(i, l1)"])
        source = f"range({self.tape.between(0, 3)})"
        source = f"enumerate({source})" if target == "(i, l1)" else source
        head = f"async for {target} in ticks({source})" if self.tape.chance(25) else f"for {target} in {source}"
        self.emit(indent, f"{head}:")
        self.branch(indent + 1, depth - 1, loop=True)
        self.otherwise(indent, depth)

    def while_(self, indent: int, depth: int) -> None:
        # A counter of its own: an inner loop that reset it would make the outer one endless.
        name = f"j{self.next_tag()}"
        self.emit(indent, f"{name} = 0")
        self.emit(indent, f"while {name} < {self.tape.between(1, 3)}:")
        self.emit(indent + 1, f"{name} += 1")
        self.branch(indent + 1, depth - 1, loop=True)
        self.otherwise(indent, depth)

    def while_true(self, indent: int, depth: int) -> None:
        name = f"j{self.next_tag()}"
        self.emit(indent, f"{name} = 0")
        self.emit(indent, "while True:")
        self.emit(indent + 1, f"{name} += 1")
        self.emit(indent + 1, f"if {name} > {self.tape.between(1, 3)}:")
        self.emit(indent + 2, "break")
        self.branch(indent + 1, depth - 1, loop=True)

    def otherwise(self, indent: int, depth: int) -> None:
        if self.tape.chance(35):
            self.emit(indent, "else:")
            self.branch(indent + 1, depth - 1)

    def match(self, indent: int, depth: int) -> None:
        self.emit(indent, f"match {self.expression()}:")
        self.emit(indent + 1, f"case {self.tape.below(4)} | {4 + self.tape.below(4)}:")
        self.branch(indent + 2, depth - 1)
        if self.tape.chance(60):
            self.emit(indent + 1, f"case int(l2) if {self.condition()}:")
            self.branch(indent + 2, depth - 1)
        if self.tape.chance(50):
            self.emit(indent + 1, self.tape.choice(["case _:", "case l1:"]))
            self.branch(indent + 2, depth - 1)

    def try_(self, indent: int, depth: int) -> None:
        self.blocks += 1
        star = "*" if self.tape.chance(15) else ""
        self.emit(indent, "try:")
        self.branch(indent + 1, depth - 1)
        form = self.tape.below(4)
        if form != 1:
            caught = self.tape.choice(
                ["(ValueError, NameError) as error", "Exception as error", "ValueError", "Exception as l0"]
            )
            self.emit(indent, f"except{star} {caught}:")
            self.emit(indent + 1, f"e({self.next_tag()}, kind())")
            if star:
                self.emit(indent + 1, f"{self.target()} = {self.expression()}")
            else:
                self.branch(indent + 1, depth - 1)
            if self.tape.chance(25):
                self.emit(indent, "else:")
                self.branch(indent + 1, depth - 1)
        if form in (1, 2):
            self.final += 1
            self.emit(indent, "finally:")
            self.emit(indent + 1, f"e({self.next_tag()}, ({', '.join(self.signature.plain)},))")
            if self.tape.chance(40):
                self.emit(indent + 1, f"{self.target()} = {self.expression()}")
            if self.tape.chance(8):
                self.emit(indent + 1, self.leave())
            self.final -= 1
        self.blocks -= 1

    def with_(self, indent: int, depth: int) -> None:
        self.blocks += 1
        swallow = self.tape.choice(["False", "False", "True"])
        word, name = self.tape.choice([("with", "cm"), ("async with", "acm")])
        bound = self.tape.choice(["", " as l1"])
        more = f", cm({self.next_tag()}, {swallow})" if self.tape.chance(15) else ""
        self.emit(indent, f"{word} {name}({self.next_tag()}, {swallow}){bound}{more if word == 'with' else ''}:")
        self.branch(indent + 1, depth - 1)
        self.blocks -= 1

    def branch(self, indent: int, depth: int, *, loop: bool = False) -> None:
        self.block(indent, depth)
        roll = self.tape.below(20)
        if roll >= 12 and self.may_jump():
            self.tail(indent)
        elif roll == 1:
            self.emit(indent, self.leave())
        elif loop and roll in (3, 4, 5, 6):
            self.emit(indent, self.tape.choice(["break", "continue"]))

    def leave(self) -> str:
        return f"return {self.expression()}"

    def may_jump(self) -> bool:
        return not self.blocks or (self.leave_first and not self.final)

    def tail(self, indent: int, *, plain: bool = False) -> None:
        call = self.call(plain=plain)
        match 0 if plain else self.tape.below(20):
            case 0 | 1 | 2 | 3 | 14 | 15 | 16 | 17 | 18:
                self.emit(indent, f"return {call}")
            case 4:
                self.emit(indent, f"return ({call})")
            case 5:
                self.emit(indent, f"return {call} if {self.condition()} else {self.expression()}")
            case 6:
                other = self.call()
                self.emit(indent, f"return {self.expression()} if {self.condition()} else ({call} if n else {other})")
            case 7:
                self.emit(indent, f"return {self.truth()} and {call}")
            case 8:
                self.emit(indent, f"return {self.truth()} or {call}")
            case 9:
                self.emit(indent, f"return ({self.truth()} or {self.truth()}) and {call}")
            case 10:
                self.emit(indent, f"return {self.truth()} and ({self.truth()} or {call})")
            case 11:
                self.emit(indent, f"return ({self.truth()} and {self.truth()}) or {call}")
            case 12:
                self.emit(indent, f"return {self.truth()} or ({call} if {self.condition()} else {self.truth()})")
            case _:
                other = self.call()
                self.emit(indent, f"return {other} if {self.condition()} else (not {self.truth()} or {call})")

    def call(self, *, plain: bool = False) -> str:
        callee, signature = self.tape.choice(self.callees)
        arguments, fits = signature.arguments(self, plain=plain)
        self.fitting += fits
        return f"{TAIL}await {callee}({arguments}){END}"

    def condition(self) -> str:
        return self.tape.choice(
            [f"n % 2 == {self.tape.below(2)}", f"{self.atom()} % 2", self.expression(1), self.truth()]
        )

    def truth(self) -> str:
        """An expression whose truth value is logged whenever it is asked for."""
        return f"T({self.next_tag()}, {self.tape.choice(['0', '1', 'n % 2', self.atom()])})"

    def expression(self, depth: int = 2) -> str:
        if not depth or self.tape.chance(25):
            return self.atom()
        one, other = self.expression(depth - 1), self.expression(depth - 1)
        tag = self.next_tag()
        return self.tape.choice(
            [
                f"({one} + {other})",
                f"e({tag}, {one})",
                f"e({tag}, {one})",
                f"(await w({tag}, {one}))",
                f"({self.target()} := {one})",
                f"({one} if {self.atom()} else {other})",
                f"({one} and {other})",
                f"({self.truth()} or {other})",
                f"sum([{self.atom()} + q for q in range(2)])",
                f"{{ {one}: {other} }}.popitem()[1]",
                f"(lambda q=({one}): q)()",
                *([f"(lambda: {self.variable()})()"] if self.closures else []),
                *self.yielded(one),
            ]
        )

    def yielded(self, value: str) -> list[str]:
        return []

    def atom(self) -> str:
        others = ["l0", "l1", "l2", self.number(), self.number(), "c", "G", "bump()", *self.extra]
        return self.tape.choice([*self.signature.plain * 2, *self.signature.sizes, *others])

    def number(self) -> str:
        return str(self.tape.choice([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]))

    def variable(self) -> str:
        return self.tape.choice([*self.signature.plain, "l0", "l1", "l2"])

    def target(self) -> str:
        return self.tape.choice([*self.signature.plain[1:], "l0", "l1", "l2"])

    def next_tag(self) -> int:
        self.tag += 1
        return self.tag

    def emit(self, indent: int, line: str) -> None:
        self.lines.append("    " * indent + line)
