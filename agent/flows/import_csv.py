"""Rows of a CSV file, one record at a time; a broken row never swallows the ones after it.

Where several rows make one loan they may stand anywhere in the file: rows are sorted by loan on disk
first, so that no loan is ever opened with a part of its instalments.
"""

import csv
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from heapq import merge
from itertools import groupby, islice
from operator import itemgetter
from typing import IO

import orjson

from agent.domain.event import Reason, Rejected
from agent.domain.mapping import Mapping, events_of
from agent.flows.import_source import Numbered, Unusable
from agent.flows.reading import LINE_MAX, Pending

# A quoted cell may hold line breaks; a quote that is never closed must not eat the file.
RECORD_LINES = 50
RUN = 50_000

Row = tuple[str, int, list[str]]


def pending_rows(mapping: Mapping, lines: Numbered, notes: list[str]) -> Iterator[Pending]:
    """The events that the rows of a file make, and the rows that make none with their reasons."""
    records = _records(mapping, lines)
    header = _header(mapping, records)
    if unused := [name for name in header if name not in mapping.columns]:
        notes.append(f"columns that the mapping does not use: {', '.join(unused)}")
    bad: list[Pending] = []
    rows = _rows(mapping, header, records, bad)
    for group in _grouped(mapping, rows):
        yield from bad
        bad.clear()
        yield from _events(mapping, header, group)
    yield from bad


def _header(mapping: Mapping, records: Iterator[tuple[int, bytes, list[str] | None]]) -> list[str]:
    first = next((cells for _, _, cells in records), None)
    header = [name.strip() for name in first or ()]
    missing = [name for name in mapping.columns if name not in header]
    twice = sorted({name for name in header if header.count(name) > 1 and name in mapping.columns})
    if twice:
        raise Unusable(f"the file has two columns of one name: {', '.join(twice)}")
    if missing:
        raise Unusable(
            f"the file has no column {', '.join(map(repr, missing))}; it has {', '.join(map(repr, header))}"
        )
    return header


def _records(mapping: Mapping, lines: Numbered) -> Iterator[tuple[int, bytes, list[str] | None]]:
    """Whole records with the number of their first line; None for one that is no CSV."""
    quote = mapping.quote.encode(mapping.encoding)
    waiting: list[tuple[int, bytes]] = []
    upcoming = iter(lines)
    while True:
        first = waiting.pop(0) if waiting else next(upcoming, None)
        if first is None:
            return
        if not first[1].strip():
            continue
        taken = [first]
        while _is_open(taken, quote) and len(taken) < RECORD_LINES:
            more = waiting.pop(0) if waiting else next(upcoming, None)
            if more is None:
                break
            taken.append(more)
        if _is_open(taken, quote):
            # only the first line is given up; the others may be whole rows
            waiting, taken = taken[1:] + waiting, taken[:1]
        body = b"\n".join(text for _, text in taken)
        yield first[0], body, _cells(mapping, body)


def _is_open(taken: Sequence[tuple[int, bytes]], quote: bytes) -> bool:
    return sum(text.count(quote) for _, text in taken) % 2 == 1


def _cells(mapping: Mapping, body: bytes) -> list[str] | None:
    if len(body) > LINE_MAX or b"\0" in body:
        return None
    try:
        text = body.decode(mapping.encoding)
        rows = list(
            csv.reader(
                text.splitlines(keepends=True) if "\n" in text else [text],
                delimiter=mapping.delimiter,
                quotechar=mapping.quote,
                strict=True,
            )
        )
    except (UnicodeDecodeError, csv.Error):
        return None
    return rows[0] if len(rows) == 1 else None


def _rows(
    mapping: Mapping,
    header: Sequence[str],
    records: Iterable[tuple[int, bytes, list[str] | None]],
    bad: list[Pending],
) -> Iterator[Row]:
    key = header.index(mapping.group_by) if mapping.group_by else 0
    for number, body, cells in records:
        if cells is None or len(cells) != len(header):
            why = "cells" if cells else "row"
            bad.append(Pending(b"", number, body, refused=Rejected(Reason.BAD_ROW, why)))
        else:
            yield cells[key].strip(), number, cells


def _grouped(mapping: Mapping, rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Row by row, or all rows of a loan together; then loans come in the order of their names."""
    if mapping.group_by is None:
        yield from ([row] for row in rows)
        return
    with ExitStack() as files:
        runs: list[Iterable[Row]] = []
        while run := sorted(islice(rows, RUN), key=itemgetter(0, 1)):
            last = len(run) < RUN and not runs
            runs.append(run if last else _spilled(run, files))
        for key, group in groupby(merge(*runs, key=itemgetter(0, 1)), key=itemgetter(0)):
            if key:
                yield list(group)
            else:
                yield from ([row] for row in group)


def _spilled(run: Sequence[Row], files: ExitStack) -> Iterator[Row]:
    """A sorted run on disk, in a file without a name that nobody else can open."""
    file: IO[bytes] = files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
    for row in run:
        file.write(orjson.dumps(row) + b"\n")
    file.seek(0)
    return ((key, number, cells) for key, number, cells in map(orjson.loads, file))


def _events(mapping: Mapping, header: Sequence[str], group: Sequence[Row]) -> Iterator[Pending]:
    made = events_of(mapping, [dict(zip(header, cells, strict=True)) for _, _, cells in group])
    unused = set(range(len(group)))
    for index, one in enumerate(made):
        unused -= set(one.rows)
        number = group[one.rows[0]][1]
        body = orjson.dumps([index, [group[place][2] for place in one.rows]])
        if isinstance(one.event, Rejected):
            yield Pending(b"", number, body, refused=one.event)
        else:
            subject = str(one.event.get("subject") or "").encode()
            yield Pending(subject, number, body, raw=one.event)
    for place in sorted(unused):
        _, number, cells = group[place]
        yield Pending(
            b"", number, orjson.dumps(cells), refused=Rejected(Reason.BAD_ROW, "no event")
        )
