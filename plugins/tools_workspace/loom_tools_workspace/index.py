"""A ranked index of chunks: BM25 by SQLite's FTS5, in memory, made for one search and thrown away."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from types import TracebackType

import apsw
import attrs

from loom_tools_workspace.chunks import Chunk
from loom_tools_workspace.names import shown

_MOST_WORDS = 32
_WORDS = re.compile(r"\w+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_CAMEL_NAMES = re.compile(r"\b[A-Za-z]+[a-z0-9][A-Z]\w*")
# A heading or a defined name says more about what a chunk is about than its text; a path says a little more.
_RANKED = "SELECT rowid FROM chunk WHERE chunk MATCH ? ORDER BY bm25(chunk, 2.0, 6.0, 1.0, 1.0), rowid LIMIT ?"


@attrs.frozen
class Query:
    """What was asked: ``words`` as they stand, ``terms`` after identifiers were taken apart.

    ``identifiers`` are the words that can only be names in code: ``read_file``, ``PluginContext``.
    """

    words: tuple[str, ...]
    terms: tuple[str, ...]

    @property
    def identifiers(self) -> frozenset[str]:
        """The words that consist of several parts."""
        return frozenset(word for word in self.words if len(_parts(word)) > 1)

    @classmethod
    def parse(cls, text: str) -> Query:
        """Return the query; it has no words if ``text`` consists of signs only."""
        words = tuple(dict.fromkeys(islice((found[0] for found in _WORDS.finditer(text)), _MOST_WORDS)))
        terms = (part.lower() for word in words for part in _parts(word))
        return cls(words, tuple(dict.fromkeys(terms)))

    def expression(self) -> str:
        """Return it in FTS5's language, every word quoted, so that none is an operator."""
        phrases = (" ".join(_parts(word)).lower() for word in self.words)
        exact = (word.lower() for word in self.words)
        return " OR ".join(f'"{phrase}"' for phrase in dict.fromkeys([*phrases, *exact, *self.terms]) if phrase)


class ChunkIndex:
    """Ranks the chunks that were added. Not for use by two threads at once; a context manager."""

    def __init__(self) -> None:
        self._chunks: list[Chunk] = []
        self._connection = apsw.Connection(":memory:")
        self._connection.execute("PRAGMA temp_store = memory")
        self._connection.execute(
            "CREATE VIRTUAL TABLE chunk USING fts5(path, title, body, names, content='', tokenize='porter unicode61')"
        )
        self._connection.execute("BEGIN")

    def __enter__(self) -> ChunkIndex:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close(True)

    @property
    def chunks(self) -> Sequence[Chunk]:
        """All chunks, in the order in which they were added."""
        return self._chunks

    def add(self, chunk: Chunk) -> None:
        """Index one chunk."""
        self._chunks.append(chunk)
        self._connection.execute(
            "INSERT INTO chunk(rowid, path, title, body, names) VALUES (?, ?, ?, ?, ?)",
            (
                len(self._chunks),
                _CAMEL.sub(" ", shown(chunk.path)),
                f"{chunk.title} {_CAMEL.sub(' ', chunk.title)}",
                _CAMEL.sub(" ", chunk.text),
                " ".join(_CAMEL_NAMES.findall(chunk.text)),
            ),
        )

    def ranked(self, query: Query, most: int) -> Iterator[Chunk]:
        """Yield the chunks that match any word, the best first; equals in the order in which they were added."""
        if not query.terms:
            return
        for (rowid,) in self._connection.execute(_RANKED, (query.expression(), most)):
            yield self._chunks[rowid - 1]


def _parts(word: str) -> list[str]:
    return [part for part in _CAMEL.sub("_", word).split("_") if part]
