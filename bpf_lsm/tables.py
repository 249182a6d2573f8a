"""The tables that the agent fills: changed as a whole or not at all."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from bpf_lsm.errors import GateError, KernelError, TableFullError
from bpf_lsm.kernel_map import KernelMap
from bpf_lsm.layout import kernel_device, user_device

_CREDENTIAL: Final = struct.Struct("=QII")
_IDENTITY: Final = struct.Struct("=Q")
_ALIAS: Final = struct.Struct("=QII")
_CLASSES: Final = struct.Struct("=II")  # by slot
_TALLY: Final = struct.Struct("=QQ")
DIGEST_SIZE: Final = 32


def change(table: KernelMap, add: Mapping[bytes, bytes], remove: Iterable[bytes] = ()) -> None:
    """Remove, then add. Without room for it nothing is changed; a failure midway is undone."""
    before = table.items()
    gone = {key for key in remove if key in before and key not in add}
    after = len(before) - len(gone) + sum(1 for key in add if key not in before)
    if after > table.shape.max_entries:
        raise TableFullError(table.name, after, table.shape.max_entries)
    touched: list[bytes] = []
    try:
        for key in gone:
            touched.append(key)
            table.delete(key)
        for key, value in add.items():
            if before.get(key) != value:
                touched.append(key)
                table.update(key, value)
    except KernelError:
        for key in reversed(touched):
            if key in before:
                table.update(key, before[key])
            else:
                table.delete(key)
        raise


def credentials(add: Mapping[bytes, int]) -> dict[bytes, bytes]:
    """Rows of the catalogue."""
    if wrong := next((digest for digest in add if len(digest) != DIGEST_SIZE), None):
        raise GateError(f"a digest has {len(wrong)} bytes, not {DIGEST_SIZE}")
    return {bytes(digest): _CREDENTIAL.pack(identity, 0, 0) for digest, identity in add.items()}


def identity_of(value: bytes) -> int:
    """The identity in a row of the catalogue."""
    identity: int = _IDENTITY.unpack_from(value)[0]
    return identity


@dataclass(frozen=True, slots=True)
class Alias:
    """A protected file that has more than one name."""

    inode: int
    device: int
    """As stat gives it."""
    generation: int
    """i_generation (FS_IOC_GETVERSION)."""

    def key(self) -> bytes:
        """Its key in the kernel's table."""
        return _ALIAS.pack(self.inode, kernel_device(self.device), self.generation)


def read_aliases(table: KernelMap, slot: int) -> dict[Alias, int]:
    """The object class of each alias in the image of a slot."""
    found = {}
    for key, value in table.items().items():
        inode, device, generation = _ALIAS.unpack(key)
        if number := _CLASSES.unpack(value)[slot]:
            found[Alias(inode, user_device(device), generation)] = int(number)
    return found


def change_aliases(
    table: KernelMap, slot: int, add: Mapping[Alias, int], remove: Iterable[Alias] = (), *, only: bool = False
) -> None:
    """Change the classes that count in the image of a slot; those of the other slot stay.

    `only`: what is not in `add` has no class in this slot any more. A row without a class is removed.
    """
    before = {key: _CLASSES.unpack(value) for key, value in table.items().items()}
    wanted = {alias.key(): number for alias, number in add.items()}
    dropped = before.keys() if only else {alias.key() for alias in remove}
    rows, gone = {}, []
    for key in wanted.keys() | (dropped & before.keys()):
        classes = list(before.get(key, (0, 0)))
        classes[slot] = wanted.get(key, 0)
        if any(classes):
            rows[key] = _CLASSES.pack(*classes)
        else:
            gone.append(key)
    change(table, rows, gone)


def fired(tallies: KernelMap, count: int) -> dict[int, tuple[int, int]]:
    """Denied and would-deny of each of the first `count` rules, or rows, that ever fired."""
    found = enumerate(_TALLY.iter_unpack(tallies.array(count)))
    return {number: (denied, would_deny) for number, (denied, would_deny) in found if denied or would_deny}
