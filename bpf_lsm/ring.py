"""The consumer of a BPF ring buffer, on its mapped memory: no call into libbpf, no callback per record.

The kernel's contract (kernel/bpf/ringbuf.c): the first page holds the consumer's position and is ours to
write; the second holds the producer's; then the data. The kernel would map that twice in a row, so that no
record is split, but what is mapped counts as resident: we map it once, and put together what is split.
A record is an eight-byte header, whose first word is its length with two flag bits, and its bytes, rounded up
to eight. Positions only grow.
"""

from __future__ import annotations

import mmap
import platform
import select
import struct
import threading
import time
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bpf_lsm.events import Batch, gather
from bpf_lsm.kernel_map import KernelMap

_BUSY: Final = 1 << 31
_DISCARD: Final = 1 << 30
_HEADER: Final = 8
_POSITION: Final = struct.Struct("@Q")  # native, so that it is copied with one aligned instruction
_LENGTH: Final = struct.Struct("@I")


class Ring:
    """The consumer of one ring; only one at a time may read it."""

    def __init__(self, ring: KernelMap) -> None:
        page = mmap.PAGESIZE
        self.name = ring.name
        self.size = ring.shape.max_entries
        self._fd = ring.fd
        self._consumer = mmap.mmap(ring.fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0)
        self._producer = mmap.mmap(ring.fd, page + self.size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        for each in (self._consumer, self._producer):
            each.madvise(mmap.MADV_DONTFORK)  # a map lives while it is mapped anywhere, whatever `off` says
        self._data = page
        self._poll = select.poll()
        self._poll.register(ring.fd, select.POLLIN)
        self._reading = threading.Lock()

    def fileno(self) -> int:
        """For poll, epoll and selectors: readable when there may be records."""
        return self._fd

    def close(self) -> None:
        """Unmap it; the records stay."""
        self._consumer.close()
        self._producer.close()

    @property
    def written(self) -> int:
        """Up to where the programs have taken room, in bytes since the ring was made."""
        position: int = _POSITION.unpack_from(self._producer)[0]
        return position

    @property
    def consumed(self) -> int:
        """Up to where it was read."""
        position: int = _POSITION.unpack_from(self._consumer)[0]
        return position

    @property
    def waiting(self) -> int:
        """Bytes that the programs have written and nobody has read."""
        return self.written - self.consumed

    def read(self, timeout: float | None = 0) -> list[bytes]:
        """The records that are there; if none, those that come within `timeout` seconds (None: wait)."""
        heap, starts, sizes = self._take(timeout)
        return [heap[start : start + size] for start, size in zip(starts, sizes, strict=True)]

    def read_batch(self, timeout: float | None = 0) -> Batch:
        """The same as columns."""
        heap, starts, sizes = self._take(timeout)
        return gather(heap, np.array(starts, np.int64), np.array(sizes, np.int64))

    def _take(self, timeout: float | None) -> tuple[bytes, list[int], list[int]]:
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._reading:
            while not (taken := self._drain())[1]:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    break
                self._poll.poll(None if left is None else left * 1000)
            return taken

    def _drain(self) -> tuple[bytes, list[int], list[int]]:
        """Copy out every complete record and give its room back."""
        begin, end = self.consumed, self.written
        if begin == end:
            return b"", [], []
        _fence()
        starts: list[int] = []
        sizes: list[int] = []
        at, stop = 0, end - begin
        length_at, memory, data, ring = _LENGTH.unpack_from, self._producer, self._data, self.size
        while at < stop:
            length: int = length_at(memory, data + (begin + at) % ring)[0]
            if length & _BUSY:
                break
            size = length & ~_DISCARD
            if length == size:
                starts.append(at + _HEADER)
                sizes.append(size)
            at += (size + _HEADER + 7) & ~7
        _fence()
        heap = self._bytes(begin, at)
        _fence()
        _POSITION.pack_into(self._consumer, 0, begin + at)
        return heap, starts, sizes

    def _bytes(self, begin: int, count: int) -> bytes:
        """A copy of the data from this position on."""
        first, data = begin % self.size, self._data
        copied = self._producer[data + first : data + min(first + count, self.size)]
        if first + count > self.size:
            copied += self._producer[data : data + first + count - self.size]
        return copied


class RowRing(Ring):
    """A ring whose records all have the size of one dtype: read as an array, without a look at each."""

    def __init__(self, ring: KernelMap, dtype: np.dtype[Any]) -> None:
        super().__init__(ring)
        self.dtype = dtype
        self.stride = dtype.itemsize + _HEADER
        self.malformed = 0
        """Records of another size, which were passed over."""
        assert self.stride % 8 == 0

    def rows(self, until: int) -> NDArray[Any]:
        """Copy out the complete records that begin before the position `until`, and give their room back."""
        with self._reading:
            begin = self.consumed
            count = max(0, until - begin) // self.stride
            if count == 0:
                return self._odd(begin, until) if until > begin else np.empty(0, self.dtype)
            _fence()
            places = (begin + np.arange(count) * self.stride) % self.size
            headers = np.frombuffer(self._producer, "<u4", self.size // 4, self._data)[places // 4]
            odd = np.flatnonzero(headers != self.dtype.itemsize)
            if len(odd):
                count = int(odd[0])
            if count == 0:
                return self._odd(begin, until)
            _fence()
            heap = self._bytes(begin, count * self.stride)
            rows = np.ndarray((count,), self.dtype, heap, _HEADER, (self.stride,)).copy()
            _fence()
            at = begin + count * self.stride
            _POSITION.pack_into(self._consumer, 0, at)
            if len(odd) and at < until:
                rest = self._odd(at, until)
                return np.concatenate([rows, rest]) if len(rest) else rows
            return rows

    def _odd(self, at: int, until: int) -> NDArray[Any]:
        """From a record that is still written, was discarded or has another size: one by one."""
        rows: list[bytes] = []
        while at < until:
            start = self._data + at % self.size
            length: int = _LENGTH.unpack_from(self._producer, start)[0]
            _fence()
            if length & _BUSY:
                break
            size = length & ~_DISCARD
            if length == self.dtype.itemsize:
                rows.append(self._bytes(at + _HEADER, size))
            elif length == size:
                self.malformed += 1
            at += (size + _HEADER + 7) & ~7
        _fence()
        _POSITION.pack_into(self._consumer, 0, at)
        return np.frombuffer(b"".join(rows), self.dtype)


_ORDERED: Final = platform.machine() in {"x86_64", "AMD64", "i686", "s390x"}
_turnstile: Final = threading.Lock()


def _fence() -> None:
    """Order the loads before against those after. Nothing to do where the processor keeps that order itself;
    elsewhere a release and an acquire of a lock, which is what Python has."""
    if not _ORDERED:
        with _turnstile:
            pass
        with _turnstile:
            pass
