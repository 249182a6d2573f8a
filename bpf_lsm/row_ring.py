"""A ring whose records all have the size of one dtype: read as an array, without a look at each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpf_lsm.kernel_map import KernelMap
from bpf_lsm.ring import BUSY, DISCARD, HEADER, LENGTH, POSITION, Ring, fence


class RowRing(Ring):
    """The consumer of one such ring."""

    def __init__(self, ring: KernelMap, dtype: np.dtype[Any]) -> None:
        super().__init__(ring)
        self.dtype = dtype
        self.stride = dtype.itemsize + HEADER
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
            fence()
            places = (begin + np.arange(count) * self.stride) % self.size
            headers = np.frombuffer(self._producer, "<u4", self.size // 4, self._data)[places // 4]
            odd = np.flatnonzero(headers != self.dtype.itemsize)
            if len(odd):
                count = int(odd[0])
            if count == 0:
                return self._odd(begin, until)
            fence()
            heap = self._bytes(begin, count * self.stride)
            rows = np.ndarray((count,), self.dtype, heap, HEADER, (self.stride,)).copy()
            fence()
            at = begin + count * self.stride
            POSITION.pack_into(self._consumer, 0, at)
            if len(odd) and at < until:
                rest = self._odd(at, until)
                return np.concatenate([rows, rest]) if len(rest) else rows
            return rows

    def _odd(self, at: int, until: int) -> NDArray[Any]:
        """From a record that is still written, was discarded or has another size: one by one."""
        rows: list[bytes] = []
        while at < until:
            start = self._data + at % self.size
            length: int = LENGTH.unpack_from(self._producer, start)[0]
            fence()
            if length & BUSY:
                break
            size = length & ~DISCARD
            if length == self.dtype.itemsize:
                rows.append(self._bytes(at + HEADER, size))
            elif length == size:
                self.malformed += 1
            at += (size + HEADER + 7) & ~7
        fence()
        POSITION.pack_into(self._consumer, 0, at)
        return np.frombuffer(b"".join(rows), self.dtype)
