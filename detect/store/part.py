"""A piece of the store in memory: contexts, acts and events as columns, wherever they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from bpf_lsm.observation import OBSERVATION
from detect.batch import ENRICHED, Batch
from detect.store.factor import Rows
from detect.store.journal import Content
from detect.store.schema import (
    ACT,
    ACT_ROW,
    CONTEXT,
    CONTEXT_ROW,
    EVENT,
    EVENT_ROW,
    NAMES,
    TEXTS,
    Column,
    Columns,
    joined,
    record,
    symbol_columns,
    take,
)
from detect.store.text import LOST_TEXT, OVERFLOW_TEXT, address_bytes, address_text, to_bytes, to_texts
from detect.symbols import LOST, OVERFLOW, Symbols

if TYPE_CHECKING:
    import pyarrow as pa

_MARKS: Final = {OVERFLOW: OVERFLOW_TEXT, LOST: LOST_TEXT}
MARKED: Final = {text: symbol for symbol, text in _MARKS.items()}


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of the three tables. Text columns are places in `values`, in which a text may be several times;
    `context` and `act` are rows here."""

    values: pa.StringArray
    contexts: Columns
    acts: Columns
    events: Columns

    def __len__(self) -> int:
        return len(self.events["time"])

    @staticmethod
    def empty() -> Part:
        """No events."""
        import pyarrow as pa  # noqa: PLC0415 - heavy

        columns = ({one.name: np.empty(0, one.in_memory) for one in table} for table in (CONTEXT, ACT, EVENT))
        return Part(pa.array([], pa.string()), *columns)

    def sessions(self) -> Column:
        """The session of each event."""
        return self.contexts["session"][self.events["context"]]

    def rows(self, index: Column | slice) -> Part:
        """Some of the events, with all contexts and acts."""
        return Part(self.values, self.contexts, self.acts, take(self.events, index))


class Batches:
    """Makes batches of a part: what its contexts and acts are in symbols is found once."""

    def __init__(self, part: Part, symbols: Symbols) -> None:
        self.part = part
        self.symbols = symbols
        numbers = np.array([_symbol(symbols, text) for text in part.values.to_pylist()], np.uint32)
        self._tables: list[tuple[str, dict[str, Column]]] = []
        for rows, table in (("context", "contexts"), ("act", "acts")):
            texts = set(TEXTS[table])
            columns = part.contexts if table == "contexts" else part.acts
            found = {name: numbers[c] if name in texts else c for name, c in columns.items()}
            self._tables.append((rows, found))
        contexts, acts = (columns for _, columns in self._tables)
        contexts["tid"] = contexts["pid"] + contexts.pop("thread")
        acts.pop("tags")
        used, places = np.unique(part.acts["address"], return_inverse=True)
        packed = [address_bytes(text) for text in part.values.take(used).to_pylist()]
        acts["address"] = np.frombuffer(b"".join(packed), np.uint8).reshape(-1, 16)[places]

    def batch(self, index: Column) -> Batch:
        """These events, with every column that they had."""
        events = take(self.part.events, index)
        found = {name: events[name] for name in ("time", "target_pid", "port", "result", "lost")}
        for rows, columns in self._tables:
            found |= take(columns, events[rows])
        return Batch({name: found[name] for name in (*(OBSERVATION.names or ()), *ENRICHED)}, self.symbols)


def _symbol(symbols: Symbols, text: str) -> int:
    return MARKED[text] if text in MARKED else symbols.intern(to_bytes(text))


def of_content(content: Content) -> Part:
    """What a journal holds, with its strings as text."""
    import pyarrow as pa  # noqa: PLC0415 - heavy

    contexts, acts, events = (
        rows[0] if len(rows) == 1 else np.concatenate([np.empty(0, dtype), *rows])
        for rows, dtype in (
            (content.contexts, CONTEXT_ROW),
            (content.acts, ACT_ROW),
            (content.events, EVENT_ROW),
        )
    )
    clocks = np.array(content.clocks, np.int64).reshape(-1, 2)
    numbers = np.fromiter(content.values, np.uint32, len(content.values))
    place = np.zeros(int(numbers.max(initial=0)) + 1, np.uint32)
    place[numbers] = np.arange(len(numbers))
    addresses, of_act = _addresses(acts)
    columns: dict[str, dict[str, Any]] = {
        "contexts": {name: contexts[name] for name in NAMES["contexts"]},
        "acts": {name: acts[name] for name in NAMES["acts"]},
    }
    for rows, name in symbol_columns(contexts, acts):
        columns["contexts" if rows is contexts else "acts"][name] = place[rows[name]]
    columns["acts"]["address"] = (of_act + len(numbers)).astype(np.uint32)
    texts = to_texts(list(content.values.values()))
    for mark, text in _MARKS.items():
        if mark in content.values:
            texts = pa.concat_arrays([texts[: place[mark]], pa.array([text]), texts[place[mark] + 1 :]])
    return Part(
        pa.concat_arrays([texts, pa.array(addresses, pa.string())]),
        columns["contexts"],
        columns["acts"],
        {
            name: np.repeat(clocks[:, 0], clocks[:, 1]) if name == "clock" else events[name]
            for name in NAMES["events"]
        },
    )


def _addresses(acts: Column) -> tuple[list[str], Column]:
    """Addresses as text, the first is none, and the place of each act's."""
    place: dict[tuple[int, int, int], int] = {(0, 0, 0): 0}
    found = [""]
    of_act = np.zeros(len(acts), np.uint32)
    some = np.flatnonzero((acts["family"] != 0) | (acts["address"] != 0) | (acts["address2"] != 0))
    keys = zip(*(acts[name][some].tolist() for name in ("address", "address2", "family")), strict=True)
    for at, key in zip(some.tolist(), keys, strict=True):
        if key not in place:
            place[key] = len(found)
            low, high, family = key
            found.append(address_text(low.to_bytes(8, "little") + high.to_bytes(8, "little"), family))
        of_act[at] = place[key]
    return found, of_act


def sort(part: Part) -> Part:
    """As a segment has it: contexts by session and process, the most frequent acts first, events by session
    and time; rows that nothing refers to are left out."""
    contexts, acts, events = part.contexts, part.acts, part.events
    by_process = np.lexsort((contexts["process"], contexts["session"]))
    sessions = contexts["session"][by_process]
    rank = np.empty(len(by_process), np.uint32)
    rank[by_process] = np.arange(len(by_process), dtype=np.uint32)
    number = np.concatenate([[0], np.cumsum(sessions[1:] != sessions[:-1])]).astype(np.uint32)
    context = rank[events["context"]]
    places = order(events["time"], number[context] if len(number) else number)
    context, act = context[places], events["act"][places]
    popular = np.bincount(act, minlength=len(acts["type"]))
    first = np.zeros(len(popular), np.int64)
    first[act[::-1]] = np.arange(len(act))[::-1]
    used = np.flatnonzero(popular)
    by_count = used[np.argsort((len(act) - popular[used]) << 32 | first[used])]
    place = np.zeros(len(popular), np.uint32)
    place[by_count] = np.arange(len(by_count), dtype=np.uint32)
    sorted_events = take({n: c for n, c in events.items() if n not in {"context", "act"}}, places)
    return Part(
        part.values,
        take(contexts, by_process),
        take(acts, by_count),
        {**sorted_events, "context": context, "act": place[act]},
    )


def order(time: Column, session: Column) -> Column:
    """Places by session, then time.

    Events come nearly in the order of time, from a journal or from one segment after the other: then what is
    sorted by session alone has each session in the order of time.
    """
    if session.max(initial=0) < 1 << 16:
        session = session.astype(np.uint16)  # a radix sort
    by_session = np.argsort(session, kind="stable")
    sessions, times = session[by_session], time[by_session]
    if not ((sessions[1:] == sessions[:-1]) & (times[1:] < times[:-1])).any():
        return by_session
    by_time = np.argsort(time, kind="stable")
    return by_time[np.argsort(session[by_time], kind="stable")]


@dataclass(frozen=True, slots=True)
class Sides:
    """What the events of a part refer to."""

    values: pa.StringArray
    contexts: Columns
    acts: Columns


def shared(sides: list[Sides]) -> tuple[Sides, list[Column], list[Column]]:
    """What several have, each once, contexts in their order; and for each of them the new places of its
    contexts and of its acts. `sides` is empty afterwards: nothing is in memory longer than it is needed."""
    import pyarrow as pa  # noqa: PLC0415 - heavy

    coded = pa.chunked_array([one.values for one in sides], pa.string()).combine_chunks().dictionary_encode()
    number = coded.indices.to_numpy().astype(np.uint32)
    texts = coded.dictionary
    del coded
    acts = Rows(record(ACT))
    contexts: list[dict[str, Column]] = []
    of_act: list[Column] = []
    ends = [0]
    text = 0
    while sides:
        one = sides.pop(0)
        values = number[text : text + len(one.values)]
        of_act.append(acts.number(_renumbered(one.acts, "acts", values)))
        contexts.append(_renumbered(one.contexts, "contexts", values))
        text += len(one.values)
        ends.append(ends[-1] + len(one.contexts["session"]))
        del one
    rows = {name: np.concatenate([part.pop(name) for part in contexts]) for name in NAMES["contexts"]}
    place = _distinct(rows)
    found = Sides(texts, rows, {name: acts.since(0)[name] for name in NAMES["acts"]})
    return found, [place[first:end] for first, end in pairwise(ends)], of_act


def merged(parts: Sequence[Part]) -> Part:
    """All events of several parts; contexts and acts that they share become one."""
    sides, of_context, of_act = shared([Sides(one.values, one.contexts, one.acts) for one in parts])
    events = [
        {**one.events, "context": context[one.events["context"]], "act": act[one.events["act"]]}
        for one, context, act in zip(parts, of_context, of_act, strict=True)
    ]
    return Part(sides.values, sides.contexts, sides.acts, joined(events, NAMES["events"]))


def _distinct(contexts: dict[str, Column]) -> Column:
    """Leave each context once, in order; the new place of each. Few are there twice, and those are of one
    process: they are found side by side."""
    keys = [contexts[name] for name in ("thread", "args", "exe", "uid", "process", "session")]
    order = np.lexsort(keys)
    del keys
    new = np.zeros(len(order), bool)
    new[:1] = True
    for name in contexts:
        column = contexts[name] = contexts[name][order]
        new[1:] |= column[1:] != column[:-1]
    for name in contexts:
        contexts[name] = contexts[name][new]
    place = np.empty(len(order), np.uint32)
    place[order] = np.cumsum(new) - 1
    return place


def _renumbered(columns: Columns, table: str, values: Column) -> dict[str, Column]:
    return {name: values[column] if name in TEXTS[table] else column for name, column in columns.items()}
