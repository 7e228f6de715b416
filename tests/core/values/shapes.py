"""Classes that the tests of values store."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
from functools import cached_property
from typing import Any, Generic, Literal, NamedTuple, NewType, NotRequired, Required, TypedDict, TypeVar

import attrs
import pydantic

T = TypeVar("T")
UserId = NewType("UserId", int)


@attrs.frozen
class Counter:
    n: int


@attrs.frozen
class SubCounter(Counter):
    extra: int = 0


@attrs.frozen
class Item:
    name: str
    price: int
    tags: tuple[str, ...] = ()


@attrs.frozen
class Cart:
    items: list[Item]
    by_id: dict[int, Item] = attrs.field(factory=dict)
    note: str | None = None
    anything: Any = None


@attrs.define
class Node:
    """Recursive, by a forward reference."""

    value: int
    children: list[Node] = attrs.field(factory=list)
    next: Node | None = None


@attrs.frozen
class Plus:
    left: Plus | Number
    right: Plus | Number


@attrs.frozen
class Number:
    value: float


@attrs.frozen
class Box(Generic[T]):
    content: T
    more: list[T] = attrs.field(factory=list)


@attrs.frozen
class Shelf(Generic[T]):
    boxes: dict[str, Box[T]] | None = None
    spare: T | list[T] | None = None


@attrs.frozen
class IntBox(Box[int]):
    label: str = ""


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    at: dt.datetime
    kind: Literal["a", "b", 3, None] = "a"


@dataclasses.dataclass
class WithCache:
    n: int

    @cached_property
    def double(self) -> int:
        return self.n * 2


@dataclasses.dataclass
class Derived:
    """A field that the constructor works out, and that may be changed later."""

    n: int
    double: int = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.double = self.n * 2


@dataclasses.dataclass
class WithInitVar:
    n: int
    factor: dataclasses.InitVar[int] = 2

    def __post_init__(self, factor: int) -> None:
        self.n = self.n * factor


@attrs.define
class Private:
    _secret: int
    renamed: int = attrs.field(default=0, alias="other")


@attrs.define
class Converted:
    text: str = attrs.field(converter=lambda value: str(value).strip())


@attrs.define
class Growing:
    """A converter that changes what it is given every time."""

    n: int = attrs.field(converter=lambda value: value + 1)


@attrs.define
class Checked:
    n: int = attrs.field(validator=attrs.validators.ge(0), on_setattr=attrs.setters.NO_OP)


@attrs.define(slots=False)
class Open:
    n: int


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Odd(enum.Enum):
    """Values that JSON does not have: written by name."""

    PAIR = (1, 2)
    TRIPLE = (1, 2, 3)


class Mixed(enum.Enum):
    """An int and a str that look alike in a key."""

    ONE = 1
    TEXT = "1"


class Rights(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


class Text(str):
    __slots__ = ()


class Pair(NamedTuple):
    left: int
    right: str = ""


Loose = collections.namedtuple("Loose", ["a", "b"])


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


class Partial(TypedDict, total=False):
    title: Required[str]
    year: int


class Model(pydantic.BaseModel):
    when: dt.datetime
    tags: set[str] = set()
    short: int = pydantic.Field(default=0, alias="s")


class Names(pydantic.RootModel[list[str]]):
    pass


class Unmodelled:
    pass
