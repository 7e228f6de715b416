"""Random async generators, and what their consumers do to them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tests.core.tailcalls.programs import END, TAIL, Body, Tape
from tests.core.tailcalls.programs_faults import STREAM_FAULTS, Fault
from tests.core.tailcalls.programs_shapes import Program

_TAIL = re.compile(f"async for \\w+ in {TAIL}(.*){END}:\n( *)yield \\w+")
# Where the reference for ``leave-first`` gets the box for its next call, and where it ends without one.
OPEN, JUST = "pass  # open", "‹›"
Script = Sequence[tuple[str, object]]


class StreamBody(Body):
    """A body that yields, and whose tail is ``async for x in f(...): yield x``.

    ``unseen``: what consumers send and throw cannot be seen in it, so that one frame can do.
    """

    unseen = False
    calls_itself = False

    def last_words(self) -> str:
        return self.leave() if self.tape.chance(25) else f"yield {self.atom()}; {self.leave()}"

    def leave(self) -> str:
        return f"{JUST}return" if self.leave_first else "return"

    def yielded(self, value: str) -> list[str]:
        if self.unseen:
            return []
        return [f"e({self.next_tag()}, (yield {value}))", f"((yield {value}) or {self.atom()})"]

    def assign(self, indent: int, depth: int) -> None:
        if self.tape.chance(50) and not (self.unseen and self.blocks):
            self.emit(indent, f"yield {self.expression()}")
        else:
            super().assign(indent, depth)

    def effect(self, indent: int, depth: int) -> None:
        sent = self.next_tag()
        if self.unseen:
            self.assign(indent, depth)
        else:
            self.emit(indent, f"log('sent', {sent}, (yield {self.expression()}))")

    def tail(self, indent: int, *, plain: bool = False) -> None:
        target = self.tape.choice(["x", "x", "y"])
        self.emit(indent, f"async for {target} in {self.call(plain=plain)}:")
        self.emit(indent + 1, f"yield {target}")
        # At the end of the function there is nothing left to do in any case.
        if indent or self.leave_first or self.tape.chance(30):
            self.emit(indent, "return")

    def call(self, *, plain: bool = False) -> str:
        return super().call(plain=plain).replace(f"{TAIL}await ", TAIL)

    def write(self, fault: Fault | None = None) -> list[str]:
        self.unseen = self.tape.chance(50)
        if self.leave_first:
            self.emit(0, OPEN)
        lines = super().write(fault)
        if self.leave_first:
            self.emit(0, f"{JUST}pass")
        return lines


class StreamProgram(Program):
    """A program whose ``start(n)`` returns the generator; ``scripts`` are what consumers do."""

    shapes = ("module", "function", "method", "classmethod", "staticmethod", "explicit")
    faults = STREAM_FAULTS
    word = "tailstream"
    spy = "spied_stream"
    body = StreamBody

    def __init__(self, tape: Tape, shape: str | None = None) -> None:
        # The scripts first: the tape may end.
        self.scripts = [_script(tape) for _ in range(3)]
        super().__init__(tape, shape)

    @staticmethod
    def handing_over(text: str) -> str:
        text = text.replace(OPEN, "box = opened(); 0 and (yield)").replace(JUST, "box.handed = None; ")
        return _TAIL.sub(r"if True:\n\2box.handed = \1", text)

    @property
    def source(self) -> str:
        return super().source.replace(JUST, "")

    def start(self, call: str) -> str:
        return f"def start(n):\n    return {call}\n"

    def overriding(self, call: str | None) -> str:
        return f"async for x in {call}: yield x" if call else "yield e('other', len(r))"


def _script(tape: Tape) -> Script:
    operations = [("next", None), ("next", None), ("send", tape.between(1, 3))]
    ends = [("throw", 1), ("close", None), ("cancel", None), ("next", None)]
    script: list[tuple[str, object]] = [tape.choice(operations) for _ in range(tape.between(0, 7))]
    script += [tape.choice(ends)]
    return [*script, *(tape.choice(operations + ends) for _ in range(tape.between(0, 4)))]
