"""The bytes of an import file, block by block, then line by line; a damaged gzip gives all it has left.

Nothing here holds more than a few blocks and one line, however long the file or its lines are.
"""

import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from agent.flows.reading import LINE_MAX

BLOCK = 64 * 1024
GZIP = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
# A line is kept up to this length: enough to see that it is too long.
_KEPT = LINE_MAX + 1
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}"]', re.DOTALL)

Numbered = Iterator[tuple[int, bytes]]


class Unusable(Exception):
    """The file cannot be read at all; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Break:
    """Where a file ends before its time: what lies before it was taken."""

    at_byte: int
    after_line: int
    why: str

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {"byte": self.at_byte, "after_line": self.after_line, "why": self.why}


@dataclass(slots=True)
class Source:
    """One file, read once from its beginning to its end."""

    path: Path
    size: int = 0
    read: int = 0
    lines: int = 0
    why: str | None = None
    broken_at: int = 0

    @property
    def broken(self) -> Break | None:
        """Known once everything was read."""
        return Break(self.broken_at, self.lines, self.why) if self.why else None

    def blocks(self) -> Iterator[bytes]:
        """The content without its compression and byte order mark."""
        first = True
        with self._open() as file:
            head = file.peek(2)[:2]
            if head in UTF_16:
                raise Unusable(f"{self.path} is UTF-16; save it as UTF-8 and import that")
            if not head and self.path.suffix == ".gz":
                self._break(0, "the file is empty; was it copied in full?")
            for block in self._unpacked(file) if head == GZIP else self._plain(file):
                yield block.removeprefix(BOM) if first else block
                first = False

    def _open(self) -> BufferedReader:
        try:
            self.size = self.path.stat().st_size
            return self.path.open("rb")
        except OSError as problem:
            raise Unusable(f"{self.path} cannot be read: {problem.strerror}") from None

    def _plain(self, file: BufferedReader) -> Iterator[bytes]:
        try:
            while block := file.read(BLOCK):
                self.read += len(block)
                yield block
        except OSError as problem:
            self._break(self.read, f"the file cannot be read further: {problem.strerror}")

    def _unpacked(self, file: BufferedReader) -> Iterator[bytes]:
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
        for packed in self._plain(file):
            rest = packed
            while rest and not self.why:
                if unpacker.eof:
                    rest = rest.lstrip(b"\0")  # padding between and after members is allowed
                    if not rest:
                        break
                    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
                before = unpacker.copy()
                try:
                    yield unpacker.decompress(rest)
                    rest = unpacker.unused_data
                except zlib.error as problem:
                    yield from self._to_the_damage(before, rest, problem)
            if self.why:
                return
        if not unpacker.eof and not self.why:
            self._break(self.read, "the gzip stream ends too early; was it copied in full?")

    def _to_the_damage(
        self, unpacker: "zlib._Decompress", packed: bytes, problem: zlib.error
    ) -> Iterator[bytes]:
        """All that the damaged block still gives, byte by byte."""
        start = self.read - len(packed)
        for place in range(len(packed)):
            try:
                given = unpacker.decompress(packed[place : place + 1])
            except zlib.error:
                self._break(start + place, f"the gzip stream is damaged: {problem}")
                return
            if given:
                yield given

    def _break(self, at_byte: int, why: str) -> None:
        self.broken_at, self.why = at_byte, why

    def numbered(self, blocks: Iterable[bytes]) -> Numbered:
        """Lines from 1 on, without their ends; of one that is too long, its beginning."""
        for line in self._split(blocks):
            self.lines += 1
            yield self.lines, line[:-1] if line.endswith(b"\r") else line

    def _split(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        tail = b""
        for block in blocks:
            parts = (tail + block).split(b"\n")
            tail = parts.pop()[:_KEPT]
            yield from parts
        # half a line is no line: what it says is not what was written
        if tail and not self.why:
            yield tail

    def elements(self, blocks: Iterable[bytes]) -> Numbered:
        """The objects of a JSON array, or of a file of JSON objects, counted from 1.

        A broken object does not stop the next one as long as its braces and quotes match.
        """
        for element in _objects(blocks):
            self.lines += 1
            yield self.lines, element
        if self.why is None and self.lines == 0 and self.size > 2:
            self._break(self.read, "there is no JSON object in it")


def _objects(blocks: Iterable[bytes]) -> Iterator[bytes]:
    buffer, depth, start, scanned = b"", 0, 0, 0
    for block in blocks:
        buffer += block
        for token in _TOKEN.finditer(buffer, scanned):
            sign = token[0]
            if sign == b'"':
                break  # the string goes on in the next block
            scanned = token.end()
            if sign == b"{" or (sign == b"[" and depth):
                start, depth = (token.start(), 1) if depth == 0 else (start, depth + 1)
            elif sign in {b"}", b"]"} and depth:
                depth -= 1
                if depth == 0:
                    yield buffer[start : token.end()]
        keep = start if depth else scanned
        buffer, scanned, start = buffer[keep:], scanned - keep, 0
        if len(buffer) > _KEPT + BLOCK:
            # nothing that long is an event: it is told as one, and the next object is looked for
            yield buffer[:_KEPT]
            buffer, depth, scanned = b"", 0, 0
    if depth:
        yield buffer
