"""A map in the kernel, by its file descriptor: look up, change, and read whole."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass

from bpf_lsm import libbpf
from bpf_lsm.errors import KernelError

_BATCH = 4096


@dataclass(frozen=True, slots=True)
class Shape:
    """What must be equal for one map to stand in for another."""

    type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int


class KernelMap:
    """One map. It does not own the descriptor."""

    def __init__(self, fd: int, name: str) -> None:
        self.fd = fd
        self.name = name
        words = info(fd, 24)
        self.id = words[1]
        self.shape = Shape(words[0], *words[2:6])

    def lookup(self, key: bytes) -> bytes | None:
        """The value of a key; None if there is none."""
        value = ctypes.create_string_buffer(self.shape.value_size)
        try:
            libbpf.call(self._cannot("read"), "bpf_map_lookup_elem", self.fd, key, value)
        except KernelError as error:
            if error.errno in {errno.ENOENT, errno.ESRCH}:
                return None
            raise
        return value.raw

    def update(self, key: bytes, value: bytes | bytearray) -> None:
        """Set the value of a key."""
        held: bytes | ctypes.Array[ctypes.c_char] = (
            value if isinstance(value, bytes) else (ctypes.c_char * len(value)).from_buffer(value)
        )
        libbpf.call(self._cannot("change"), "bpf_map_update_elem", self.fd, key, held, 0)

    def delete(self, key: bytes) -> bool:
        """Remove a key; whether it was there."""
        try:
            libbpf.call(self._cannot("change"), "bpf_map_delete_elem", self.fd, key)
        except KernelError as error:
            if error.errno == errno.ENOENT:
                return False
            raise
        return True

    def items(self) -> dict[bytes, bytes]:
        """Everything in a hash map."""
        size, width = self.shape.key_size, self.shape.value_size
        found: dict[bytes, bytes] = {}
        for keys, values, count in self._batches(_BATCH):
            for index in range(count):
                found[keys[index * size : (index + 1) * size]] = values[index * width : (index + 1) * width]
        return found

    def count(self) -> int:
        """How many keys a hash map has. While others change it, nearly so."""
        return sum(found for _keys, _values, found in self._batches(_BATCH))

    def array(self, count: int) -> bytes:
        """The first `count` values of an array map, or all if it has less, one after the other."""
        count = min(count, self.shape.max_entries)
        for _keys, values, got in self._batches(count):
            return values[: got * self.shape.value_size]
        return b""

    def clear(self) -> None:
        """Remove every key of a hash map."""
        for key in self.items():
            self.delete(key)

    def _batches(self, size: int) -> Iterator[tuple[bytes, bytes, int]]:
        if size == 0:
            return
        size = min(size, self.shape.max_entries)
        keys = ctypes.create_string_buffer(size * self.shape.key_size)
        values = ctypes.create_string_buffer(size * self.shape.value_size)
        position = ctypes.create_string_buffer(max(4, self.shape.key_size))
        start = None
        while True:
            count = ctypes.c_uint32(size)
            last = False
            try:
                libbpf.call(
                    self._cannot("read"), "bpf_map_lookup_batch",
                    self.fd, start, position, keys, values, ctypes.byref(count), None,
                )  # fmt: skip
            except KernelError as error:
                if error.errno != errno.ENOENT:
                    raise
                last = True
            if count.value:
                yield keys.raw, values.raw, count.value
            if last:
                return
            start = position

    def _cannot(self, verb: str) -> str:
        return f"cannot {verb} the map {self.name}"


def info(fd: int, size: int) -> tuple[int, ...]:
    """The first bytes of the kernel's description of a map, program or link, as 32-bit numbers."""
    buffer = (ctypes.c_uint32 * (size // 4))()
    length = ctypes.c_uint32(size)
    libbpf.call(
        "cannot ask the kernel about a descriptor of ours",
        "bpf_obj_get_info_by_fd", fd, ctypes.byref(buffer), ctypes.byref(length),
    )  # fmt: skip
    return tuple(buffer)


def exists(kind: str, number: int) -> bool:
    """Whether the kernel still has the `map`, `prog` or `link` of that id."""
    try:
        fd = libbpf.call(f"cannot ask for {kind} {number}", f"bpf_{kind}_get_fd_by_id", number)
    except KernelError as error:
        if error.errno == errno.ENOENT:
            return False
        raise
    os.close(fd)
    return True
