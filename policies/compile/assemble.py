"""Tables to the bytes of an image, in the layout of `image`."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from policies.compile.comb import Comb
from policies.compile.plan import Plan, Row
from policies.image import MAGIC, VERSION, RowFlag
from policies.layout import HEADER, IDENTITY, ROW, TARGET
from policies.names import identity_id

ALL_64: Final = (1 << 64) - 1
ALIGNMENT: Final = 64
FIRST_OFFSET: Final = HEADER.itemsize

CAPABILITIES: Final = (
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
)
"""By number, as in linux/capability.h."""


@dataclass(frozen=True, slots=True)
class Tables:
    """All sections but the automaton and the description, whose places depend on these."""

    rows: npt.NDArray[np.void]
    targets: npt.NDArray[np.void]
    identities: npt.NDArray[np.void]
    cells: npt.NDArray[np.void]
    sequences: npt.NDArray[np.void]
    slots: npt.NDArray[np.uint64]
    """The last two are empty if no sequence blocks."""
    sequence_rights: int
    grid: npt.NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Offsets:
    """Where the sections begin, in bytes."""

    rows: int
    targets: int
    identities: int
    cells: int
    sequences: int
    slots: int
    grid: int
    automaton: int


def offsets(tables: Tables) -> Offsets:
    """The sections one behind the other, aligned."""
    sections = (
        tables.rows,
        tables.targets,
        tables.identities,
        tables.cells,
        tables.sequences,
        tables.slots,
        tables.grid,
    )
    ends = [FIRST_OFFSET]
    for section in sections:
        ends.append(_aligned(ends[-1] + section.nbytes))
    return Offsets(*ends)


def _aligned(offset: int) -> int:
    return -(-offset // ALIGNMENT) * ALIGNMENT


def row_table(plan: Plan, watch: npt.NDArray[np.uint32]) -> tuple[npt.NDArray[np.void], npt.NDArray[np.void]]:
    """The rows, and the targets that they point to."""
    rows = np.zeros(len(plan.rows), dtype=ROW)
    targets: list[tuple[int, int]] = []
    for number, row in enumerate(plan.rows):
        mine = sorted(_targets(row).items())
        entry: Any = rows[number]
        entry["identity"] = row.identity
        entry["flags"] = _flags(row)
        entry["watch"] = watch[number]
        special, capabilities = _special(row), _capabilities(row)
        entry["special"], entry["capabilities"] = special, capabilities
        entry["special_enforce"] = ALL_64 & ~special if row.enforced else 0
        entry["capabilities_enforce"] = ALL_64 & ~capabilities if row.enforced else 0
        entry["special_rule"] = row.special_rule
        entry["capabilities_rule"] = row.capabilities_rule
        entry["jit_rule"] = row.jit_rule
        entry["default_rule"] = row.default_rule
        entry["targets"], entry["n_targets"] = len(targets), len(mine)
        targets += mine
    return rows, np.fromiter(targets, TARGET)


def _flags(row: Row) -> int:
    if row.policy is None:
        return RowFlag.JIT
    flags = RowFlag.CONFINED
    if row.policy.jit:
        flags |= RowFlag.JIT
    if row.enforced:
        flags |= RowFlag.JIT_ENFORCE | RowFlag.UNRESOLVED_ENFORCE
    return flags


def _special(row: Row) -> int:
    return ALL_64 if row.policy is None else sum(1 << bit for bit in row.policy.special.words)


def _capabilities(row: Row) -> int:
    if row.policy is None:
        return ALL_64
    return sum(1 << CAPABILITIES.index(name) for name in row.policy.special.capabilities)


def _targets(row: Row) -> dict[int, int]:
    found: defaultdict[int, int] = defaultdict(int)
    if row.policy is not None:
        for special, names in row.policy.special.towards:
            for name in names:
                found[identity_id(name)] |= 1 << special
    return found


def identity_table(plan: Plan) -> npt.NDArray[np.void]:
    """Identities that have rows, sorted."""
    known = sorted((row.identity, number) for number, row in enumerate(plan.rows) if row.identity)
    table = np.zeros(len(known), IDENTITY)
    table["identity"] = [identity for identity, _ in known]
    table["row"] = [number for _, number in known]
    return table


def assemble(tables: Tables, comb: Comb, meta: bytes, *, n_rules: int, n_classes: int) -> bytes:
    """The image, with its content hash."""
    at = offsets(tables)
    off_names = _aligned(at.automaton + comb.entries.nbytes)
    off_meta = _aligned(off_names + comb.names.nbytes)
    image = bytearray(_aligned(off_meta + len(meta)))
    header = np.zeros(1, dtype=HEADER)
    values = {
        "magic": MAGIC,
        "version": VERSION,
        "size": len(image),
        "start": comb.start,
        "n_rows": len(tables.rows),
        "n_classes": n_classes,
        "n_cells": len(tables.cells),
        "n_rules": n_rules,
        "n_identities": len(tables.identities),
        "n_targets": len(tables.targets),
        "off_rows": at.rows,
        "off_grid": at.grid,
        "off_cells": at.cells,
        "off_identities": at.identities,
        "off_targets": at.targets,
        "off_names": off_names,
        "names_mask": len(comb.names) - 1,
        "off_meta": off_meta,
        "meta_size": len(meta),
        "off_sequences": at.sequences if len(tables.sequences) else 0,
        "off_slots": at.slots if len(tables.sequences) else 0,
        "sequence_rights": tables.sequence_rights,
    }
    for field, value in values.items():
        header[field] = value
    for offset, section in (
        (at.rows, tables.rows),
        (at.targets, tables.targets),
        (at.identities, tables.identities),
        (at.cells, tables.cells),
        (at.sequences, tables.sequences),
        (at.slots, tables.slots),
        (at.grid, tables.grid),
        (at.automaton, comb.entries),
        (off_names, comb.names),
    ):
        image[offset : offset + section.nbytes] = section.tobytes()
    image[off_meta : off_meta + len(meta)] = meta
    image[: HEADER.itemsize] = header.tobytes()
    header["hash"] = np.frombuffer(hashlib.sha256(image).digest(), dtype=np.uint8)
    image[: HEADER.itemsize] = header.tobytes()
    return bytes(image)
