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
from typing import Final

from bpf_lsm.kernel_map import KernelMap

BUSY: Final = 1 << 31
DISCARD: Final = 1 << 30
HEADER: Final = 8
POSITION: Final = struct.Struct("@Q")  # native, so that it is copied with one aligned instruction
LENGTH: Final = struct.Struct("@I")


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
        position: int = POSITION.unpack_from(self._producer)[0]
        return position

    @property
    def consumed(self) -> int:
        """Up to where it was read."""
        position: int = POSITION.unpack_from(self._consumer)[0]
        return position

    @property
    def waiting(self) -> int:
        """Bytes that the programs have written and nobody has read."""
        return self.written - self.consumed

    def read(self, timeout: float | None = 0) -> list[bytes]:
        """The records that are there; if none, those that come within `timeout` seconds (None: wait)."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._reading:
            while not (records := self._drain()):
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    break
                self._poll.poll(None if left is None else left * 1000)
            return records

    def _drain(self) -> list[bytes]:
        """Copy out every complete record and give its room back."""
        begin, end = self.consumed, self.written
        if begin == end:
            return []
        fence()
        found: list[tuple[int, int]] = []
        at, stop = 0, end - begin
        length_at, memory, data, ring = LENGTH.unpack_from, self._producer, self._data, self.size
        while at < stop:
            length: int = length_at(memory, data + (begin + at) % ring)[0]
            if length & BUSY:
                break
            size = length & ~DISCARD
            if length == size:
                found.append((at + HEADER, size))
            at += (size + HEADER + 7) & ~7
        fence()
        heap = self._bytes(begin, at)
        fence()
        POSITION.pack_into(self._consumer, 0, begin + at)
        return [heap[start : start + size] for start, size in found]

    def _bytes(self, begin: int, count: int) -> bytes:
        """A copy of the data from this position on."""
        first, data = begin % self.size, self._data
        copied = self._producer[data + first : data + min(first + count, self.size)]
        if first + count > self.size:
            copied += self._producer[data : data + first + count - self.size]
        return copied


_ORDERED: Final = platform.machine() in {"x86_64", "AMD64", "i686", "s390x"}
_turnstile: Final = threading.Lock()


def fence() -> None:
    """Order the loads before against those after. Nothing to do where the processor keeps that order itself;
    elsewhere a release and an acquire of a lock, which is what Python has."""
    if not _ORDERED:
        with _turnstile:
            pass
        with _turnstile:
            pass
