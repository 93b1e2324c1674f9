"""A whole file of ledger events through intake: bounded memory, read ahead, safe to interrupt.

Every batch is a transaction of its own, and an event is a no-op the second time: a run that was
killed is simply run again.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from agent.clock import Clock, seconds
from agent.domain.mapping import Mapping
from agent.flows.growth import Growth
from agent.flows.import_csv import pending_rows
from agent.flows.import_source import Break, Numbered, Source
from agent.flows.intake import BATCH, Desk, Problem, Taken, read_in_slices, take_batch
from agent.flows.reading import Pending, Read, Unread, read_pending

# What is held at once: enough for a loan's history to be applied in one go, whatever the file's size.
WINDOW_LINES = 100_000
WINDOW_BYTES = 48_000_000
_SUBJECT = re.compile(rb'"subject"\s*:\s*"([^"\\]*)"')

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Imported:
    """What became of a file; problems were handed on as they came."""

    taken: Taken = field(default_factory=Taken)
    lines: int = 0
    seconds: float = 0.0
    broken: Break | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Everything was taken, or had been before."""
        return not self.taken.rejected and self.broken is None


class _Batch(NamedTuple):
    pieces: list[Pending]
    # how many bytes of the file are done with once this batch is
    upto: int


async def import_file(
    desk: Desk,
    path: Path,
    clock: Clock,
    *,
    mapping: Mapping | None = None,
    refused: Callable[[Problem], None],
    progress: Progress = lambda _done, _size: None,
    prepare: Callable[[list[Read]], Awaitable[None]] | None = None,
) -> Imported:
    """Take a file in; the next batch is read while PostgreSQL works on this one.

    Raises `Unusable` before anything is taken if the file cannot be read at all.
    """
    begun, done = seconds(), Imported()
    source = Source(path)
    batches = _batches(source, _pending(source, mapping, done.notes))
    upcoming, growth = asyncio.create_task(_read_next(desk, batches)), Growth(desk.pool)
    try:
        while (found := await upcoming) is not None:
            upcoming = asyncio.create_task(_read_next(desk, batches))
            reads, unreads, upto = found
            if prepare is not None:
                await prepare(reads)
            taken = await take_batch(desk, reads, unreads, clock.now())
            for problem in sorted(taken.problems, key=attrgetter("line")):
                refused(problem)
            taken.problems.clear()
            done.taken.add(taken)
            if prepare is None:
                await growth.note(done.taken.applied)
            progress(upto, source.size)
    finally:
        await asyncio.wait([upcoming])
    done.lines, done.broken, done.seconds = source.lines, source.broken, seconds() - begun
    return done


async def _read_next(
    desk: Desk,
    batches: Iterator[_Batch],
) -> tuple[list[Read], list[Unread], int] | None:
    """The file is unpacked and cut into lines in a thread; lines are read in between."""
    batch: _Batch | None = await asyncio.to_thread(next, batches, None)
    if batch is None:
        return None
    return (*await read_in_slices(desk, batch.pieces, read_pending), batch.upto)


def _pending(source: Source, mapping: Mapping | None, notes: list[str]) -> Iterator[Pending]:
    if mapping is not None:
        return pending_rows(mapping, source.numbered(source.blocks()), notes)
    lines = lines_or_elements(source)
    return (Pending(_subject(body), number, body) for number, body in lines if body.strip())


def lines_or_elements(source: Source) -> Numbered:
    """One event a line, or JSON that may be laid out in any way: an array, or a `.json` file."""
    names = [suffix for suffix in source.path.suffixes if suffix != ".gz"]
    blocks = source.blocks()
    first = next((block for block in blocks if block.strip()), b"")
    again = chain((first,), blocks)
    if names[-1:] == [".json"] or first.lstrip()[:1] == b"[":
        return source.elements(again)
    return source.numbered(again)


def _subject(body: bytes) -> bytes:
    """What the line is probably about: it only decides in which batch the line goes."""
    found = _SUBJECT.search(body)
    return found[1] if found else b""


def _batches(source: Source, pending: Iterator[Pending]) -> Iterator[_Batch]:
    begun = 0
    for window in _windows(pending):
        read, count = source.read - begun, 0
        for batch in _by_loan(window):
            count += len(batch)
            yield _Batch(batch, begun + read * count // len(window))
        begun += read


def _by_loan(window: Iterable[Pending]) -> Iterator[list[Pending]]:
    """Batches in which a loan's events stand together, in the order in which the file has them."""
    together: dict[bytes, list[Pending]] = {}
    for piece in window:
        together.setdefault(piece.group, []).append(piece)
    batch: list[Pending] = []
    for group in together.values():
        batch += group
        # one loan is not torn apart, unless it is more than a batch by itself
        while len(batch) >= 2 * BATCH:
            yield batch[:BATCH]
            batch = batch[BATCH:]
        if len(batch) >= BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _windows(pending: Iterable[Pending]) -> Iterator[list[Pending]]:
    window: list[Pending] = []
    size = 0
    for piece in pending:
        window.append(piece)
        size += len(piece.body)
        if len(window) >= WINDOW_LINES or size >= WINDOW_BYTES:
            yield window
            window, size = [], 0
    if window:
        yield window
