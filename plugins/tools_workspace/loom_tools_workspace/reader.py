"""`read_file`: a passage of a text file, and what to do to see the rest."""

from __future__ import annotations

import attrs

from loom_tools_workspace.content import HEAD_BYTES, NOT_UTF8, binary_kind, read_at, text_of
from loom_tools_workspace.names import quantity, shown
from loom_tools_workspace.refusals import WorkspaceRefusal
from loom_tools_workspace.workspace import OpenFile, Workspace

# How far lines are counted. 64 MiB take about 30 ms; a start line behind that is refused, not waited for.
_MOST_SCANNED = 64 << 20
_PIECE = 1 << 20
_NEWLINE = b"\n"


@attrs.frozen(kw_only=True)
class Reader:
    """Reads text files of a workspace, at most ``max_bytes`` and ``max_lines`` at a time."""

    workspace: Workspace
    max_bytes: int
    max_lines: int

    def read(self, path: str, start_line: int = 1, max_lines: int = 400) -> str:
        """Return ``max_lines`` lines from ``start_line`` (1 is the first), as they are in the file.

        Lines end with ``\\n`` or ``\\r\\n``; a byte-order mark is dropped. If anything is not shown, a last line in
        brackets says which lines these are, of how many lines and bytes, and how to read on. What a file grows by while
        it is read is not seen. Raises ``WorkspaceRefusal``, for files that are not UTF-8 text too.
        """
        if start_line < 1 or max_lines < 1:
            raise WorkspaceRefusal(f"start_line and max_lines count from 1, not {min(start_line, max_lines)}")
        with self.workspace.open_file(path) as file:
            _refuse_binary(read_at(file.descriptor, 0, min(HEAD_BYTES, file.size)), file)
            if file.size == 0:
                return f"[`{shown(file.path)}` is empty]"
            return self._passage(file, start_line, min(max_lines, self.max_lines))

    def _passage(self, file: OpenFile, start: int, most: int) -> str:
        offset = _offset_of(start, file)
        window = read_at(file.descriptor, offset, min(self.max_bytes, file.size - offset))
        at_end = offset + len(window) >= file.size
        *lines, rest = window.split(b"\n")
        cut = not at_end and not lines
        if cut or (at_end and rest):
            lines.append(rest)
        text = _text(b"\n".join(lines[:most]), cut, file)
        if start == 1:
            text = text.removeprefix("\ufeff")
        if cut:
            return f"{text}\n{_note_of_cut_line(file, start, offset, len(rest))}"
        last = start + min(most, len(lines)) - 1
        complete = at_end and len(lines) <= most
        return text if complete and start == 1 else f"{text}\n{_note(file, start, last, offset, complete=complete)}"


def _text(data: bytes, cut: bool, file: OpenFile) -> str:
    text = text_of(data, whole=not cut)
    if text is None or "\0" in text:
        raise _binary(binary_kind(data) or NOT_UTF8, file)
    return text.replace("\r\n", "\n").removesuffix("\r")


def _refuse_binary(head: bytes, file: OpenFile) -> None:
    kind = binary_kind(head)
    if kind is not None:
        raise _binary(kind, file)


def _binary(kind: str, file: OpenFile) -> WorkspaceRefusal:
    return WorkspaceRefusal(f"`{shown(file.path)}` is {kind} of {quantity(file.size, 'byte')} and is not shown")


def _note(file: OpenFile, first: int, last: int, offset: int, *, complete: bool) -> str:
    if complete:
        return f"[lines {first:,} to {last:,} of {last:,}: the end of the file]"
    total = _total_lines(file, first, offset)
    return (
        f"[lines {first:,} to {last:,} of {total}; the file has {quantity(file.size, 'byte')};"
        f" read on with start_line={last + 1}]"
    )


def _note_of_cut_line(file: OpenFile, line: int, offset: int, length: int) -> str:
    total = _total_lines(file, line, offset)
    return (
        f"[line {line:,} of {total} is cut after {quantity(length, 'byte')}, its rest cannot be shown;"
        f" the file has {quantity(file.size, 'byte')}; the next line is start_line={line + 1}]"
    )


def _offset_of(line: int, file: OpenFile) -> int:
    """Return where a line begins; raises if there is no such line, or not within what is scanned."""
    offset, before = 0, line - 1
    end = min(file.size, _MOST_SCANNED)
    while before and offset < end:
        piece = read_at(file.descriptor, offset, min(_PIECE, end - offset))
        if not piece:
            break
        newlines = piece.count(b"\n")
        if newlines >= before:
            return _existing(offset + _after_newline(piece, before), line, file)
        before -= newlines
        offset += len(piece)
    return _existing(offset if not before else end, line, file)


def _existing(offset: int, line: int, file: OpenFile) -> int:
    if offset < min(file.size, _MOST_SCANNED):
        return offset
    if file.size > _MOST_SCANNED:
        raise WorkspaceRefusal(
            f"line {line:,} of `{shown(file.path)}` lies behind its first {_MOST_SCANNED >> 20} MiB,"
            " and read_file looks no further"
        )
    total = _total_lines(file, 1, 0)
    raise WorkspaceRefusal(f"`{shown(file.path)}` has {total} lines, so that start_line={line:,} is behind its end")


def _after_newline(piece: bytes, count: int) -> int:
    at = -1
    for _ in range(count):
        at = piece.index(b"\n", at + 1)
    return at + 1


def _total_lines(file: OpenFile, line: int, offset: int) -> str:
    """Return the number of lines, given that ``line`` begins at ``offset``; a lower bound for very large files."""
    end = min(file.size, _MOST_SCANNED)
    total, last = line - 1, _NEWLINE
    while offset < end and (piece := read_at(file.descriptor, offset, min(_PIECE, end - offset))):
        total += piece.count(b"\n")
        last = piece[-1:]
        offset += len(piece)
    if file.size > _MOST_SCANNED:
        return f"more than {total:,}"
    return f"{total if last == _NEWLINE else total + 1:,}"
