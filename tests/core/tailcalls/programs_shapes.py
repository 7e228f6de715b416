"""Whole random programs: where the functions stand, how they are decorated, called, overridden and patched."""

from __future__ import annotations

import re
from collections.abc import Sequence
from textwrap import indent

from tests.core.tailcalls.programs import END, TAIL, Body, Tape
from tests.core.tailcalls.programs_faults import FAULTS, Fault
from tests.core.tailcalls.programs_signature import Signature

SHAPES = ("module", "function", "method", "classmethod", "staticmethod", "explicit", "group", "method group")
_TAIL = re.compile(f"{TAIL}await (.*?){END}")


class Program:
    """A module with a function ``start(n)`` that starts the recursion.

    ``source`` is the program; ``reference`` is what its meaning is compared with: the same text, or with
    ``leave-first`` a text in which each tail call in a block hands over the call that it made, so that a handwritten
    loop awaits it after the block was left (see programs_reference).
    """

    shapes: Sequence[str] = SHAPES
    faults: Sequence[Fault] = FAULTS
    word = "tailrec"
    spy = "spied"
    body: type[Body] = Body

    def __init__(self, tape: Tape, shape: str | None = None) -> None:
        self.tape = tape
        self.shape = shape or tape.choice(self.shapes)
        self.leave_first = tape.chance(20)
        self.patched = not self.leave_first and tape.chance(12)
        self.fault = tape.choice(self.faults) if "group" not in self.shape and tape.chance(12) else None
        self.bodies: list[Body] = []
        self.text = getattr(self, f"_{self.shape.replace(' ', '_')}")()

    @property
    def callees(self) -> list[str]:
        """What is called in tail position, as it is written."""
        return [callee for callee, _ in self.bodies[0].callees]

    @property
    def source(self) -> str:
        return self.text.replace(TAIL, "").replace(END, "")

    @property
    def reference(self) -> str:
        return self.handing_over(self.text) if self.leave_first else self.source

    @staticmethod
    def handing_over(text: str) -> str:
        while TAIL in text:
            text = _TAIL.sub(r"Next(\1)", text)
        return text

    def decorator(self, extra: str = "") -> str:
        options = [*(["blocks='leave-first'"] if self.leave_first else []), *([extra] if extra else [])]
        if options or self.tape.chance(5):
            return f"@{self.word}({', '.join(options)})"
        return f"@{self.word}"

    def decorators(self, extra: str = "") -> list[str]:
        own = [self.decorator(extra)]
        above, below = self.tape.below(16), self.tape.below(16)
        if above == 1 and not self.leave_first:
            own.insert(0, f"@{self.spy}")
        elif above == 2:
            own.insert(0, "@same")
        if below == 1:
            own.append("@marked")
        elif below == 2:
            own.append("@same")
        elif below == 3 and not self.leave_first and "group" not in self.shape:
            own.append(f"@{self.spy}")
        return own

    def function(self, name: str, signature: Signature, callees: list[tuple[str, Signature]], extra: str = "") -> str:
        body = self.body(
            self.tape,
            signature,
            callees,
            keyword="global" if self.shape in ("module", "group") else "nonlocal",
            leave_first=self.leave_first,
            extra=self._of_the_class(),
        )
        self.bodies.append(body)
        lines = body.write(self.fault)
        return "\n".join(
            [*self.decorators(extra), f"async def {name}({signature.text()}):", indented("\n".join(lines))]
        )

    def start(self, call: str) -> str:
        return f"async def start(n):\n    return await {call}\n"

    def overriding(self, call: str | None) -> str:
        """Return the body of an override that goes on to ``call``, or does something else."""
        return f"return await {call}" if call else "return e('other', len(r))"

    def _of_the_class(self) -> list[str]:
        common = ["len(__class__.__name__)", "__class__.__hidden"]
        match self.shape:
            case "method" | "method group":
                return [*common, "self.__hidden", "super().base(2)", "self.__add(1)", "self.size"]
            case "explicit":
                return [*common, "self.__hidden", "self.size"]
            case "classmethod":
                return [*common, "cls.__hidden", "super().made(3)"]
            case "staticmethod":
                return common
            case _:
                return []

    def _module(self) -> str:
        signature = Signature(self.tape)
        name = self.tape.choice(["f", "f", "__f"])
        text = self.function(name, signature, [(name, signature)])
        if self.patched:
            text += f"\n{name}{'' if self.tape.chance(50) else '_'} = {self.spy}({name})"
        return f"{text}\n{self.start(f'{name}({signature.outer()})')}"

    def _function(self) -> str:
        signature = Signature(self.tape)
        text = self.function("f", signature, [("f", signature)])
        if self.patched:
            text += f"\nf = {self.spy}(f)"
        inside = f"c = 3\ndef bump():\n    nonlocal c\n    c += 2\n    return c\n{text}\n"
        return (
            f"def outside():\n{indented(inside)}\n    return f\nf = outside()\n{self.start(f'f({signature.outer()})')}"
        )

    def _group(self) -> str:
        names = ["p", "q", "s"][: self.tape.between(2, 3)]
        signatures = {name: Signature(self.tape) for name in names}
        callees = list(signatures.items())
        by_reference = self.tape.chance(40)
        parts = []
        for index, name in enumerate(names):
            group = "group=p" if by_reference and index else "group='g'"
            parts.append(self.function(name, signatures[name], callees, group))
        if self.patched:
            parts.append(f"{names[-1]} = {self.spy}({names[-1]})")
        return "\n".join([*parts, self.start(f"p({signatures['p'].outer()})")])

    def _method_group(self) -> str:
        names = ["p", "q"]
        signatures = {name: Signature(self.tape, "self") for name in names}
        callees = [(f"self.{name}", signature) for name, signature in signatures.items()]
        parts = [self.function(name, signatures[name], callees, "group='g'") for name in names]
        return self._class("\n".join(parts), signatures["p"], "K().p", "p")

    def _method(self) -> str:
        signature = Signature(self.tape, "self")
        text = self.function("f", signature, [("self.f", signature)])
        return self._class(text, signature, "K().f", "f")

    def _explicit(self) -> str:
        signature = Signature(self.tape, "self")
        inner = Signature.__new__(Signature)
        inner.__dict__ |= signature.__dict__
        text = self.function("f", signature, [("K.f", _Explicit(inner))])
        return self._class(text, signature, "K().f", "f")

    def _classmethod(self) -> str:
        signature = Signature(self.tape, "cls")
        callee = self.tape.choice(["cls.f", "cls.f", "K.f"])
        text = self._wrapped("classmethod", self.function("f", signature, [(callee, signature)]))
        return self._class(text, signature, self.tape.choice(["K.f", "K().f"]), "f")

    def _staticmethod(self) -> str:
        signature = Signature(self.tape)
        text = self._wrapped("staticmethod", self.function("f", signature, [("K.f", signature)]))
        return self._class(text, signature, self.tape.choice(["K.f", "K().f"]), "f")

    def _wrapped(self, kind: str, text: str) -> str:
        """Put ``@classmethod`` above all decorators, or directly below ``@tailrec``."""
        if self.tape.chance(50):
            return f"@{kind}\n{text}"
        lines = text.split("\n")
        head = lines.index(next(line for line in lines if line.startswith("async def ")))
        if any(line.startswith(f"@{self.spy}") for line in lines[:head]):
            return f"@{kind}\n{text}"
        return "\n".join([*lines[:head], f"@{kind}", *lines[head:]])

    def _class(self, text: str, signature: Signature, callee: str, name: str) -> str:
        base = (
            "class B:\n    def base(self, v): return e('base', v)\n    @classmethod\n    def made(cls, v): return v\n"
        )
        slots = "    __slots__ = ()\n" if self.shape == "method" and self.tape.chance(10) else ""
        own = "    __hidden = 2\n    size = 1\n    def __add(self, v): return v + 1\n"
        inside = f"class K(B):\n{slots}{own}{indented(text)}\n"
        outer = signature.outer()
        first = {"self": "self, ", "cls": "cls, ", None: ""}[signature.first]
        kind = f"@{self.shape}\n    " if self.shape in ("classmethod", "staticmethod") else ""
        if self.patched or (not self.leave_first and self.tape.chance(15)):
            kinds = ["super", "other", "plain"]
            kinds += ["instance", "getattr", "getattribute"] if signature.first == "self" else []
            over = self.tape.choice(kinds)
            inside += "class S(K):\n    pass\n"
            called = "super()" if self.shape != "staticmethod" else "K"
            if over in ("super", "other"):
                up = self.overriding(f"{called}.{name}(*r, **o)" if over == "super" else None)
                inside += (
                    f"class S(K):\n    {kind}async def {name}({first}*r, **o):\n"
                    f"        log('override', len(r), repr(o))\n{indented(indented(up))}\n"
                )
            elif over == "getattribute":
                inside += (
                    "class S(K):\n    def __getattribute__(self, name):\n"
                    "        log('get', name)\n        return super().__getattribute__(name)\n"
                )
            elif over == "getattr":
                inside += (
                    "class S(K):\n    def __getattr__(self, name):\n        log('getattr', name)\n        return 1\n"
                )
            callee = callee.replace("K", "S")
            if over == "instance":
                inside += f"def K_():\n    one = S()\n    one.{name} = {self.spy}(one.{name})\n    return one\n"
                callee = callee.replace("S()", "K_()")
        if self.shape in ("method", "explicit") and self.tape.chance(8):
            callee = callee.replace("()", "") + "|"
        call = f"{callee}({outer})"
        if callee.endswith("|"):
            owner = callee.split(".")[0].replace("K_", "K")
            call = f"K.{name}({owner}(), {outer})"
        if self.tape.chance(30) and "K_" not in inside:
            inside = (
                f"def outside():\n    c = 3\n{indented(inside)}\n    return locals()\nglobals().update(outside())\n"
            )
            inside = inside.replace("c = 3\n", "c = 3\n", 1)
        else:
            # The class stands in the module, where `c` is a global.
            inside = inside.replace("nonlocal c\n", "global c\n")
        return f"{base}{inside}\n{self.start(call)}"


class _Explicit(Signature):
    """The signature of ``K.f(self, ...)``: the first argument is written out."""

    def __init__(self, signature: Signature) -> None:
        self.__dict__ |= signature.__dict__

    def arguments(self, body: Body, *, plain: bool = False) -> tuple[str, bool]:
        text, fits = super().arguments(body, plain=plain)
        return f"self, {text}" if text else "self", fits


def indented(text: str) -> str:
    return indent(text, "    ")
