"""The sections of a policy image, checked: it is whole, and nothing in it leads out of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from policies.errors import PolicyError
from policies.image import (
    MAGIC,
    MAX_COUNT,
    MAX_ROWS,
    MAX_SEQUENCES,
    MAX_SLOTS,
    MAX_STEPS,
    ROW_FIRST,
    STATE_FLAGS,
    STATE_SHORTCUT,
    SYM_BEHIND,
    SYM_CLASS,
    SYM_DEFAULT,
    SYM_REST,
    SYM_STOPS,
    SYM_SUBTREE,
    VERSION,
    content_hash,
)
from policies.layout import CELL, ENTRY, HEADER, IDENTITY, NAME, ROW, SEQUENCES, TARGET

_ALIGNMENT: Final = ENTRY.itemsize


@dataclass(frozen=True, slots=True)
class Sections:
    """Views of an image's bytes, as numpy arrays of the types in `image`; `grid` is rows by classes.

    `entries` are all 8-byte words before the names: the automaton's states are indices into them. `owners`
    are those of the entries, without STATE_FLAGS.
    """

    header: Any
    rows: Any
    cells: Any
    identities: Any
    targets: Any
    grid: Any
    entries: Any
    owners: Any
    names: Any
    meta: bytes
    sequences: Any
    """The sequences that block, as one element or none; `slots` are their steps by class, as bits."""
    slots: Any


def read(image: bytes) -> Sections:
    """The sections of a whole image; PolicyError says what is wrong with any other bytes."""
    header = _header(image)
    n_rows, n_classes = int(header["n_rows"]), int(header["n_classes"])
    meta_end = int(header["off_meta"]) + int(header["meta_size"])
    if meta_end > len(image):
        raise _damaged("its description reaches behind its end")
    entries = _section(image, ENTRY, 0, int(header["off_names"]) // _ALIGNMENT)
    found = Sections(
        header=header,
        rows=_section(image, ROW, header["off_rows"], n_rows),
        cells=_section(image, CELL, header["off_cells"], header["n_cells"]),
        identities=_section(image, IDENTITY, header["off_identities"], header["n_identities"]),
        targets=_section(image, TARGET, header["off_targets"], header["n_targets"]),
        grid=_section(image, np.dtype("<u2"), header["off_grid"], n_rows * n_classes),
        entries=entries,
        owners=entries["owner"].astype(np.int64) & ~STATE_FLAGS,
        names=_section(image, NAME, header["off_names"], int(header["names_mask"]) + 1),
        meta=image[int(header["off_meta"]) : meta_end],
        sequences=_section(image, SEQUENCES, header["off_sequences"], bool(header["off_sequences"])),
        slots=_section(image, np.dtype("<u8"), header["off_slots"], bool(header["off_slots"]) * n_classes),
    )
    _check_numbers(found)
    _check_automaton(found)
    _check_sequences(found)
    return replace(found, grid=found.grid.reshape(n_rows, n_classes))


def _header(image: bytes) -> Any:
    if len(image) < HEADER.itemsize:
        raise PolicyError(f"an image of {len(image)} bytes is no policy image")
    header = np.frombuffer(image, dtype=HEADER, count=1)[0]
    if header["magic"] != MAGIC or header["version"] != VERSION:
        raise PolicyError("this is no policy image of this version", hint="compile the policies again")
    if int(header["size"]) > len(image):
        raise PolicyError(f"the policy image is cut: {len(image)} of {int(header['size'])} bytes")
    if bytes(header["hash"]) != content_hash(image[: int(header["size"])]):
        raise _damaged("its content hash does not match")
    return header


def _section(image: bytes, dtype: np.dtype[Any], offset: Any, count: Any) -> Any:
    if int(offset) + int(count) * dtype.itemsize > len(image):
        raise _damaged("a section reaches behind its end")
    return np.frombuffer(image, dtype=dtype, count=int(count), offset=int(offset))


def _check_numbers(found: Sections) -> None:
    """Rows, cells and targets that are named are there."""
    n_cells, n_rows = len(found.cells), len(found.rows)
    if n_rows < ROW_FIRST or not int(found.header["n_classes"]):
        raise _damaged("it has no subjects or no classes")
    if n_rows > MAX_ROWS:
        raise _damaged(f"it has more than {MAX_ROWS} subjects")
    if _largest(found.grid) >= n_cells or _largest(found.cells["foreign"]) >= n_cells:
        raise _damaged("a cell is named that is not there")
    if _largest(found.identities["row"]) >= n_rows:
        raise _damaged("a subject is named that is not there")
    size = len(found.names)
    if not size or size & (size - 1):
        raise _damaged("its table of names has a size that it cannot have")
    ends = found.rows["targets"].astype(np.int64) + found.rows["n_targets"]
    if _largest(ends) > len(found.targets):
        raise _damaged("a target is named that is not there")


def _check_sequences(found: Sections) -> None:
    """Steps are of sequences that are there, and within what the kernel has room for."""
    if len(found.sequences) != bool(len(found.slots)):
        raise _damaged("it has steps without sequences")
    for each in found.sequences:
        n_sequences, n_slots = int(each["n_sequences"]), int(each["n_slots"])
        if not 0 < n_sequences <= MAX_SEQUENCES or not 0 < n_slots <= MAX_SLOTS:
            raise _damaged("it has no sequences or too many")
        steps, sequences = each["steps"][:n_slots], each["sequences"][:n_sequences]
        if _largest(steps["sequence"]) >= n_sequences or _largest(sequences["n_steps"]) > MAX_STEPS:
            raise _damaged("a step is of no sequence")
        if (
            np.any(steps["step"] >= sequences["n_steps"][steps["sequence"]])
            or _largest(steps["count"]) > MAX_COUNT
        ):
            raise _damaged("a step is out of its sequence")
        if _largest(sequences["rule"]) >= int(found.header["n_rules"]):
            raise _damaged("a rule is named that is not there")
        if n_slots < MAX_SLOTS and np.any(found.slots >> np.uint64(n_slots)):
            raise _damaged("a step is named that is not there")


def _check_automaton(found: Sections) -> None:
    """From every state that can be reached something follows, and its classes are there."""
    last = len(found.entries) - SYM_BEHIND - 1
    owners = found.owners
    following = found.entries["next"].astype(np.int64)
    symbols = np.arange(len(owners)) - owners
    mine = np.flatnonzero((symbols >= SYM_DEFAULT) & (symbols <= SYM_SUBTREE))
    mine = mine[np.argsort(owners[mine], kind="stable")]
    sorted_owners = owners[mine]
    seen = np.zeros(len(owners), dtype=bool)
    named = np.array([int(found.header["start"]), *found.names["next"][found.names["low"] != 0]])
    while len(named):
        states = named & ~STATE_FLAGS
        if _largest(states) > last:
            raise _damaged("its automaton leads behind its end")
        seen[states] = True
        short = states[named & STATE_SHORTCUT != 0]
        for symbol in (SYM_DEFAULT, SYM_CLASS, SYM_SUBTREE):
            if np.any(owners[states + symbol] != states):
                raise _damaged("a state of its automaton has no default or no class")
        for symbol in (SYM_REST, SYM_STOPS, SYM_BEHIND):
            if np.any(owners[short + symbol] != short):
                raise _damaged("a state of its automaton has half a shortcut")
        classes = following[np.append(states + SYM_CLASS, states + SYM_SUBTREE)]
        if _largest(classes) >= int(found.header["n_classes"]):
            raise _damaged("a class is named that is not there")
        first = np.searchsorted(sorted_owners, states, "left")
        count = np.searchsorted(sorted_owners, states, "right") - first
        entries = mine[np.repeat(first - np.append(0, count.cumsum()[:-1]), count) + np.arange(count.sum())]
        entries = np.concatenate(
            (entries[symbols[entries] < SYM_CLASS], short + SYM_REST, short + SYM_BEHIND)
        )
        named = np.unique(following[entries])
        bare = named & ~STATE_FLAGS
        named = named[(bare > last) | ~seen[np.minimum(bare, last)]]


def _largest(numbers: Any) -> int:
    return int(numbers.max()) if len(numbers) else -1


def _damaged(what: str) -> PolicyError:
    return PolicyError(f"the policy image is damaged: {what}")
