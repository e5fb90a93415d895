"""What lies in a folder of sessions, from their ends and outlines: no session is read through for a list.

A session is *whole* when it was closed and holds as many rows as it says, *cut off* when it was never closed
(a run may be writing it), *damaged* when something is missing. A flipped byte shows only when every row is
read and its checksum compared: ``check`` does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pyarrow as pa

from agent.core.errors import SessionError
from agent.core.json_types import JsonObject, int_in
from agent.core.market.tape import BAR, EVENT
from storage.recordings import parquet
from storage.recordings.header_file import HEADER
from storage.recordings.numbered_segments import PARQUET, segment_paths
from storage.recordings.segments import UNREADABLE, SegmentDamageError
from storage.recordings.session import OUTCOME, SessionReader

_FLAGS = re.compile(r"[{,]flags:(.*?)(?:,[a-z0-9_]+:|}$)")
WHOLE, CUT_OFF, DAMAGED, UNREADABLE_STATE = "whole", "cut off", "damaged", "unreadable"


@dataclass(slots=True)
class ListedOrder:
    """A parent order of a session and the state it was left in, as the session's rows have it."""

    id: str
    symbol: str
    side: str  # "buy" or "sell"
    algo: str
    state: str
    note: str = ""  # what its measures remark


@dataclass(slots=True)
class ListedSession:
    """One session of a list. ``orders`` are its parents, shadows left out; ``problems`` are sentences."""

    session: str
    path: str
    state: str
    source: str = ""
    made: str = ""  # "slice" or "merge" where it was made of other sessions
    symbols: list[str] = field(default_factory=list)
    start_ns: int | None = None
    end_ns: int | None = None
    events: int = 0
    bars: int = 0
    bytes: int = 0
    compacted: bool = False
    orders: list[ListedOrder] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def find_session(given: Path, folder: Callable[[], Path]) -> Path:
    """A path as it is; else the session of that name in ``folder``, or ``last``, the newest there.

    ``folder`` is asked for only where it is needed. Raises SessionError where there is no last one.
    """
    if given.exists() or given.name != str(given):
        return given
    where = folder()
    if str(given) == "last":
        headers = list(where.glob(f"*/{HEADER}"))
        if not headers:
            raise SessionError(f"there is no last session: {where} holds none; run the agent once")
        return max(headers, key=lambda header: (header.stat().st_mtime_ns, header)).parent
    return where / given if (where / given).exists() else given


def list_sessions(folder: Path, *, check: bool = False) -> list[ListedSession]:
    """The sessions in ``folder``, oldest first. Raises SessionError when there is no such folder."""
    if not folder.is_dir():
        raise SessionError(f"no such folder: {folder}; give the one that --out of `run` named")
    if (folder / HEADER).is_file():
        return [look_at(folder, check=check)]
    found = [look_at(path, check=check) for path in sorted(folder.iterdir()) if (path / HEADER).is_file()]
    return sorted(found, key=lambda s: (s.start_ns or 0, s.session))


def look_at(path: Path, *, check: bool = False) -> ListedSession:
    """One session's entry. Never raises for a bad session: it is listed with what is wrong."""
    try:
        return _looked(path, SessionReader(path), check)
    except SessionError as error:
        return ListedSession(path.name, str(path), UNREADABLE_STATE, problems=[str(error)])


def _looked(path: Path, reader: SessionReader, check: bool) -> ListedSession:
    header = reader.header
    orders, odd_rows = _orders_of(reader.outcome())
    found = ListedSession(
        session=header.session,
        path=str(path),
        state=WHOLE,
        source=header.source,
        made=_made(header.origin),
        symbols=list(dict.fromkeys(i.symbol for i in reader.instruments)),
        bytes=size_of(path),
        compacted=any(p.suffix == PARQUET for p in segment_paths(path, "tape")),
        orders=orders,
        problems=odd_rows,
    )
    _outline(found, reader)
    if check:
        for _ in reader.batches():
            pass
        reader.bars()
    found.problems += [loss for loss in reader.losses if loss not in found.problems]
    found.state = DAMAGED if found.problems else WHOLE if reader.end_ns is not None else CUT_OFF
    return found


def _made(origin: JsonObject) -> str:
    return "merge" if "merged" in origin else "slice" if origin else ""


def _outline(found: ListedSession, reader: SessionReader) -> None:
    """Rows and times from the segments' own accounts."""
    end = next((e for e in reversed(reader.journal()) if e.get("kind") == "end"), None)
    for stem, dtype in (("tape", EVENT), ("bars", BAR)):
        rows = 0
        for segment in segment_paths(reader.path, stem):
            count, first, last, damage = _account(segment)
            rows += count
            if count and (stem == "tape" or not found.events):  # of bars alone, their times
                found.start_ns = found.start_ns if found.start_ns is not None else first
                found.end_ns = last
            if damage:
                found.problems.append(f"{segment.name}: damaged after {stem} row {rows:,} ({damage})")
        recorded = int_in(end or {}, "events" if dtype is EVENT else "bars", rows)
        if recorded != rows and not found.problems:
            found.problems.append(f"{stem}: {recorded:,} rows were recorded and {rows:,} are there")
        if stem == "tape":
            found.events = rows
        else:
            found.bars = rows


def _account(segment: Path) -> tuple[int, int, int, str]:
    """(rows, first recv_ns, last recv_ns, what is wrong or "") of a segment, its rows not read."""
    try:
        if segment.suffix == PARQUET:
            return *parquet.outline(segment), ""
    except SegmentDamageError as damage:
        return 0, 0, 0, str(damage)
    rows, first, last = 0, 0, 0
    try:
        with pa.memory_map(str(segment), "rb") as source:
            for batch in pa.ipc.open_stream(source):
                if batch.num_rows:
                    times = batch.column(0)
                    first = first or times[0].as_py()
                    last = times[-1].as_py()
                    rows += batch.num_rows
    except UNREADABLE as error:
        return rows, first, last, str(error).splitlines()[0] if str(error) else type(error).__name__
    return rows, first, last, ""


def size_of(path: Path) -> int:
    """Bytes of a session's files."""
    return sum(f.stat().st_size for f in path.iterdir() if f.is_file())


def _orders_of(outcome: Sequence[str]) -> tuple[list[ListedOrder], list[str]]:
    """The parents of a run with their last state, shadows left out, read from its canonical rows.

    Rows that are none come back as problems: their file has no checksums.
    """
    found: dict[str, ListedOrder] = {}
    for number, row in enumerate(outcome, start=1):
        if row.startswith("SlippageMeasured|"):
            _take_note(_members(row), row, found)
        if row.startswith("ParentChanged|") and not _take_order(_members(row), found):
            return list(found.values()), [
                f"{OUTCOME}: row {number:,} is corrupt; the orders after it are left out"
            ]
    return list(found.values()), []


def _take_order(members: Mapping[str, str], found: dict[str, ListedOrder]) -> bool:
    """Take in a new order, or the state of a known one; say whether the row holds what it must."""
    needed = ("symbol", "side", "algo", "state") if "parent_id" in members else ("spec", "state")
    if not members.keys() >= set(needed):
        return False
    if "parent_id" not in members:
        if members["spec"] in found:
            found[members["spec"]].state = members["state"]
    elif members.get("shadow_of", "-") == "-":
        found[members["parent_id"]] = ListedOrder(
            id=members["parent_id"],
            symbol=members["symbol"],
            side={"1": "buy", "-1": "sell"}.get(members["side"], members["side"]),
            algo=members["algo"],
            state=members["state"],
        )
    return True


def _take_note(members: Mapping[str, str], row: str, orders: Mapping[str, ListedOrder]) -> None:
    """The flags of an order's measures, by its own benchmark; the last ones count."""
    order = orders.get(members.get("parent_id", ""))
    if order is not None and members.get("own_benchmark") == "yes":
        flags = _FLAGS.search(row)
        order.note = flags[1].removeprefix("-") if flags else ""


def _members(row: str) -> Mapping[str, str]:
    """Names and values of a row; those of the order, in brackets, beside the others."""
    members = (text.lstrip("(").removeprefix("spec=(").rstrip(")") for text in row.split("|")[1:])
    return dict(member.split("=", 1) for member in members if "=" in member)
