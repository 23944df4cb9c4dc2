"""Lines of whatever is given: numbered, of a bounded length, each one as soon as it is there."""

from collections.abc import Iterable, Iterator

import msgspec

LONGEST = 1 << 20
"""Bytes that a line may have."""
CHUNK = 1 << 16


class Line(msgspec.Struct, frozen=True):
    """A line without its end. `number`: from 1. `is_whole`: whether it was not too long; else `text` is empty."""

    number: int
    text: bytes
    is_whole: bool = True

    @property
    def is_empty(self) -> bool:
        """Whether nothing is on it."""
        return self.is_whole and not self.text.strip(b" \t\r")


class Splitter:
    """Chunks of bytes go in, lines come out. What is too long is dropped as it comes, so that memory stays small."""

    def __init__(self, longest: int = LONGEST) -> None:
        self._longest = longest
        self._number = 0
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[Line]:
        """The lines that end in this chunk."""
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            self._add(part)
            yield self._line()
        self._add(rest)

    def end(self) -> Iterator[Line]:
        """The last line, if it had no end."""
        if self._size:
            yield self._line()

    def _add(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._longest + 1:  # one more for the carriage return
            self._parts.clear()
        elif part:
            self._parts.append(part)

    def _line(self) -> Line:
        self._number += 1
        text = b"".join(self._parts).removesuffix(b"\r")
        is_whole = self._size <= self._longest or len(text) == self._longest == self._size - 1
        self._parts, self._size = [], 0
        return Line(self._number, text if is_whole else b"", is_whole)


def lines_of(chunks: Iterable[bytes], longest: int = LONGEST) -> Iterator[list[Line]]:
    """The lines of each chunk, as a list that may be empty."""
    splitter = Splitter(longest)
    for chunk in chunks:
        yield list(splitter.feed(chunk))
    yield list(splitter.end())
