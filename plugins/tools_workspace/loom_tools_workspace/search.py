"""`search_docs`: where in the workspace something is written about, the best places first."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import attrs

from loom_tools_workspace.chunks import MARKDOWN_SUFFIXES, Chunk, chunks
from loom_tools_workspace.content import HEAD_BYTES, binary_kind, read_at, text_of
from loom_tools_workspace.index import ChunkIndex, Query
from loom_tools_workspace.names import quantity, shown
from loom_tools_workspace.refusals import WorkspaceRefusal
from loom_tools_workspace.survey import Survey, survey
from loom_tools_workspace.workspace import Workspace

_LONGEST_QUERY = 500
_MOST_RESULTS = 50
_MOST_OF_A_FILE = 3
_SNIPPET_LINES = 3
_SNIPPET_WIDTH = 200
_TITLE_WIDTH = 120
_MOST_FILE_BYTES = 512 << 10
_MOST_BYTES = 32 << 20
# Read in this order, so that a search that runs out of time has seen prose and code before data.
_PROSE = (*MARKDOWN_SUFFIXES, ".rst", ".txt", ".adoc")
_DATA = (".csv", ".tsv", ".json", ".jsonl", ".lock", ".log", ".map", ".svg", ".xml", ".min.js", ".min.css", ".ipynb")
_BINARY = (
    *(".png", ".jpg", ".jpeg", ".gif", ".webp", ".ico", ".pdf", ".zip", ".gz", ".xz", ".zst", ".whl", ".jar", ".mp4"),
    *(".so", ".o", ".a", ".dylib", ".dll", ".exe", ".pyc", ".class", ".woff", ".woff2", ".ttf", ".gguf"),
)


@attrs.frozen(kw_only=True)
class Search:
    """Searches the text files of a workspace: at most ``max_files`` of them, 32 MiB, and about ``timeout_s``."""

    workspace: Workspace
    max_files: int
    timeout_s: float
    clock: Callable[[], float] = time.monotonic

    def search(self, query: str, max_results: int = 8, path: str = ".") -> str:
        """Return the places that match best, each as ``path:first-last``, its headings and a few lines; blocks.

        Chunks are ranked by BM25 over word stems; identifiers are found by their parts. If no word is found, lines that
        contain the query literally are. The same files give the same answer. The first line says how many files were
        searched, of how many, and why not all. Raises ``WorkspaceRefusal``.
        """
        if not query.strip() or len(query) > _LONGEST_QUERY:
            raise WorkspaceRefusal(f"a query has 1 to {_LONGEST_QUERY} characters")
        if not 1 <= max_results <= _MOST_RESULTS:
            raise WorkspaceRefusal(f"max_results must be 1 to {_MOST_RESULTS}, not {max_results}")
        deadline = self.clock() + self.timeout_s
        paths, walked = self._candidates(path)
        with ChunkIndex() as index:
            reading = _Reading(self, index, deadline)
            reading.read(paths)
            asked = Query.parse(query)
            found = _spread(_definitions_first(index.ranked(asked, 20 * max_results), asked), max_results)
            terms = asked.terms
            if not found:
                found, terms = _literal(index.chunks, query.strip(), max_results), (query.strip().lower(),)
        head = f"{quantity(len(found), 'result')} for `{shown(query)}`; {reading.told(len(paths), walked)}"
        return "\n\n".join([head, *(_place(chunk, terms) for chunk in found)])

    def _candidates(self, path: str) -> tuple[list[str], Survey | None]:
        place = self.workspace.locate(path)
        if place.kind != "folder":
            with self.workspace.open_file(path):
                return [path], None
        walked = survey(self.workspace, path)
        paths = ["/".join(found.parts) for found in walked.found if found.kind == "file" and not found.closed]
        return sorted((path for path in paths if not path.lower().endswith(_BINARY)), key=_rank), walked


class _Reading:
    """Reads files into an index until they, the time or the room are used up."""

    def __init__(self, search: Search, index: ChunkIndex, deadline: float) -> None:
        self._search = search
        self._index = index
        self._deadline = deadline
        self._bytes = self._read = self._cut = self._unreadable = 0
        self._stopped = ""

    def read(self, paths: Iterable[str]) -> None:
        for path in paths:
            self._stopped = self._reason_to_stop()
            if self._stopped:
                return
            try:
                self._add(path)
            except WorkspaceRefusal:
                self._unreadable += 1

    def told(self, count: int, walked: Survey | None) -> str:
        parts = [f"searched {self._read:,} of {quantity(count, 'file')}"]
        if self._stopped:
            parts.append(f"stopped at {self._stopped}; give a path to search less")
        if self._unreadable:
            parts.append(f"{quantity(self._unreadable, 'file')} not text or not readable")
        if self._cut:
            parts.append(f"of {quantity(self._cut, 'large file')} only the first {_MOST_FILE_BYTES >> 10} KiB")
        if walked is not None and (left_out := walked.left_out()):
            parts.append(left_out)
        return "; ".join(parts)

    def _reason_to_stop(self) -> str:
        if self._read >= self._search.max_files:
            return f"{self._search.max_files:,} files"
        if self._bytes >= _MOST_BYTES:
            return f"{_MOST_BYTES >> 20} MiB"
        return f"the limit of {self._search.timeout_s:g} s" if self._search.clock() >= self._deadline else ""

    def _add(self, path: str) -> None:
        with self._search.workspace.open_file(path) as file:
            head = read_at(file.descriptor, 0, min(HEAD_BYTES, file.size))
            if binary_kind(head) is not None:
                self._unreadable += 1
                return
            rest = min(file.size, _MOST_FILE_BYTES) - len(head)
            data = head + read_at(file.descriptor, len(head), rest)
        text = text_of(data, whole=False)
        if text is None or "\0" in text:
            self._unreadable += 1
            return
        self._read += 1
        self._bytes += len(data)
        self._cut += file.size > _MOST_FILE_BYTES
        for chunk in chunks(file.path, text.removeprefix("\ufeff")):
            self._index.add(chunk)


def _rank(path: str) -> tuple[int, str]:
    lower = path.lower()
    return (0 if lower.endswith(_PROSE) else 2 if lower.endswith(_DATA) else 1), path


def _definitions_first(ranked: Iterable[Chunk], query: Query) -> list[Chunk]:
    """Return them with those in front whose headings or definitions have an identifier of the query as it stands."""
    return sorted(ranked, key=lambda chunk: query.identifiers.isdisjoint(chunk.title.split()))


def _spread(ranked: Iterable[Chunk], most: int) -> list[Chunk]:
    """Return the best, at most three of a file, so that one long file does not hide the others."""
    of_file: Counter[str] = Counter()
    found: list[Chunk] = []
    for chunk in ranked:
        of_file[chunk.path] += 1
        if of_file[chunk.path] <= _MOST_OF_A_FILE:
            found.append(chunk)
        if len(found) == most:
            break
    return found


def _literal(every: Sequence[Chunk], text: str, most: int) -> list[Chunk]:
    wanted = text.lower()
    return _spread((chunk for chunk in every if wanted in chunk.text.lower()), most)


def _place(chunk: Chunk, terms: Sequence[str]) -> str:
    title = f"  ({shown(chunk.title, _TITLE_WIDTH)})" if chunk.title else ""
    lines = [f"{shown(chunk.path)}:{chunk.first}-{chunk.last}{title}"]
    return "\n".join(lines + [f"  {number}: {line}" for number, line in _snippet(chunk, terms)])


def _snippet(chunk: Chunk, terms: Sequence[str]) -> list[tuple[int, str]]:
    """Return the lines with the most of the terms, in their order; stems are compared by their beginnings."""
    stems = [term[: max(4, len(term) - 3)] for term in terms]
    rows = [
        (-sum(stem in line.lower() for stem in stems), chunk.first + at, line)
        for at, line in enumerate(chunk.lines)
        if line.strip()
    ]
    best = sorted(rows, key=lambda row: row[:2])[:_SNIPPET_LINES]
    return sorted((number, shown(" ".join(line.split()), _SNIPPET_WIDTH)) for _, number, line in best)
