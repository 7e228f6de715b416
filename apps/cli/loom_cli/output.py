"""What a command prints: the result on stdout, everything said about it on stderr."""

from __future__ import annotations

import json as jsonlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Literal

import attrs

from loom_cli.text import cut, safe, width
from loom_core.errors import LoomError

Colour = Literal["bold", "dim", "red", "green", "yellow", "cyan"]

_CODES: dict[str, str] = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_GAP = "  "
_NARROWEST = 6


class OutputFailed(LoomError):
    """Standard output cannot be written (a full disk, a closed terminal); a closed pipe is not this."""

    code = "output"


@attrs.frozen(kw_only=True)
class Output:
    """Where a command prints. Everything it is given is escaped: it may come from a model, a tool or a plugin.

    ``as_json`` commands print exactly one document and nothing else to stdout. ``verbosity`` is the number of ``-v``
    less the number of ``-q``: notes need 0, details 1; warnings and errors are always printed. ``columns`` is None
    where lines must not be cut (a pipe, a file).
    """

    stdout: IO[str]
    stderr: IO[str]
    as_json: bool = False
    verbosity: int = 0
    colour: bool = False
    columns: int | None = None

    @classmethod
    def of_process(
        cls, stdout: IO[str], stderr: IO[str], environ: Mapping[str, str], *, as_json: bool = False, verbosity: int = 0
    ) -> Output:
        """Return the output of a process: colours and cut lines on a terminal only, ``NO_COLOR`` respected."""
        terminal = stdout.isatty()
        return cls(
            stdout=stdout,
            stderr=stderr,
            as_json=as_json,
            verbosity=verbosity,
            colour=terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb",
            columns=shutil.get_terminal_size().columns if terminal else None,
        )

    @property
    def live(self) -> bool:
        """True if progress may be drawn: a person is looking at stderr and has not asked for quiet."""
        return self.stderr.isatty() and self.verbosity >= 0

    def document(self, schema: str, data: Mapping[str, object]) -> None:
        """Print the one JSON document of a command, ``{"schema": …, **data}``; ASCII only, so safe to show."""
        self._write(self.stdout, jsonlib.dumps({"schema": schema, **data}, indent=2, allow_nan=False) + "\n")

    def json_line(self, data: Mapping[str, object]) -> None:
        """Print one line of a JSON stream (``--jsonl``) and flush it."""
        self._write(self.stdout, jsonlib.dumps(data, allow_nan=False) + "\n")
        self.stdout.flush()

    def line(self, text: str = "", colour: Colour | None = None) -> None:
        """Print one line of the result."""
        self._write(self.stdout, self.painted(safe(text), colour) + "\n")

    def spans(self, parts: Iterable[tuple[str, Colour | None]]) -> None:
        """Print one line of the result of which each part has a colour of its own; tabs are kept."""
        painted = [self.painted(safe(text, keep="\t"), colour) for text, colour in parts]
        self._write(self.stdout, "".join(painted).rstrip(" ") + "\n")

    def labelled(self, label: str, text: str, colour: Colour) -> None:
        """Print one line of the result behind a coloured label."""
        self._write(self.stdout, f"  {self.painted(safe(label), colour)} {safe(text)}\n")

    def block(self, text: str, indent: str = "") -> None:
        """Print text of several lines, each indented."""
        shown = safe(text, keep="\n\t").rstrip("\n")
        self._write(self.stdout, "".join(f"{indent}{line}".rstrip() + "\n" for line in shown.split("\n")))

    def stream(self, text: str) -> None:
        """Print a piece of a text as it arrives, without a line end, and flush it."""
        self._write(self.stdout, safe(text, keep="\n\t"))
        self.stdout.flush()

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
        """Print aligned columns under headers in upper case, cut to the terminal's width.

        ``right`` names the headers aligned to the right.
        """
        cells = [[safe(cell) for cell in row] for row in rows]
        widths = _fitted([max(map(width, column)) for column in zip(headers, *cells, strict=True)], self.columns)
        aligned = [header in right for header in headers]
        self._row([header.upper() for header in headers], widths, aligned, "dim")
        for row in cells:
            self._row(row, widths, aligned, None)

    def fields(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Print ``name  value`` lines, the values in one column; values may have several lines."""
        shown = [(safe(name), safe(value, keep="\n\t")) for name, value in pairs]
        column = max((width(name) for name, _ in shown), default=0)
        for name, value in shown:
            first, *rest = value.split("\n")
            self._write(
                self.stdout, f"{self.painted(name, 'dim')}{' ' * (column - width(name))}{_GAP}{first}".rstrip() + "\n"
            )
            for line in rest:
                self._write(self.stdout, f"{' ' * column}{_GAP}{line}".rstrip() + "\n")

    def note(self, text: str) -> None:
        """Say something about the result, on stderr; ``-q`` silences it."""
        if self.verbosity >= 0:
            self._say(safe(text, keep="\n"))

    def detail(self, text: str) -> None:
        """Say something that only ``-v`` asks for, on stderr."""
        if self.verbosity >= 1:
            self._say(safe(text, keep="\n"))

    def warning(self, text: str, hint: str | None = None) -> None:
        """Say what may be wrong, on stderr, ``-q`` or not."""
        self._say(self._said("warning", text, "yellow"))
        if hint:
            self.hint(hint)

    def error(self, text: str, hint: str | None = None) -> None:
        """Say what failed, on stderr, and what to do about it."""
        self._say(self._said("error", text, "red"))
        if hint:
            self.hint(hint)

    def hint(self, text: str) -> None:
        """Say what the user can do next, on stderr."""
        self._say(self._said("hint", text, "cyan"))

    def painted(self, text: str, colour: Colour | None) -> str:
        """Return safe text in a colour, if colours are wanted."""
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if colour and self.colour and text else text

    def _said(self, label: str, text: str, colour: Colour) -> str:
        return f"{self.painted(f'{label}:', colour)} {safe(text, keep=chr(10))}"

    def _row(self, cells: Sequence[str], widths: Sequence[int], right: Sequence[bool], colour: Colour | None) -> None:
        padded = []
        for cell, columns, is_right in zip(cells, widths, right, strict=True):
            shown = cut(cell, columns)
            space = " " * (columns - width(shown))
            padded.append(space + shown if is_right else shown + space)
        self._write(self.stdout, self.painted(_GAP.join(padded).rstrip(), colour) + "\n")

    def _say(self, text: str) -> None:
        # Standard output comes first where both are one terminal or one log file.
        self.stdout.flush()
        self.stderr.write(text + "\n")
        self.stderr.flush()

    def _write(self, stream: IO[str], text: str) -> None:
        try:
            stream.write(text)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputFailed(f"cannot write to standard output: {error.strerror or error}") from error


def _fitted(widths: list[int], columns: int | None) -> list[int]:
    """Return the column widths, the widest ones narrowed until a row fits; no column below a readable minimum."""
    if columns is None:
        return widths
    fitted = list(widths)
    room = columns - len(_GAP) * (len(fitted) - 1)
    while sum(fitted) > room and max(fitted) > _NARROWEST:
        fitted[fitted.index(max(fitted))] -= 1
    return fitted
