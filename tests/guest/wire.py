"""The frames between the host and the agent in a guest. Used by both ends, so the standard library only."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

PORT: Final = "org.menshen.guest"
HEADER: Final = struct.Struct("<2sBIIB")  # magic, kind, channel, length of the payload, end mark
MAGIC: Final = b"MG"
END: Final = 0x5A
CHUNK: Final = 32768

# from the host
HELLO: Final = 1  # payload: a nonce. The agent forgets all channels and answers the same
RUN: Final = 2  # payload: JSON {argv, env, cwd, pty}. Starts a process
DATA: Final = 3  # bytes for the process, or for the file that is put; none: end of input
SIGNAL: Final = 4  # payload: JSON {signal}, to the process group
PUT: Final = 5  # payload: JSON {path, mode}; DATA follows
GET: Final = 6  # payload: JSON {path}
CLOCK: Final = 7  # payload: JSON {ns}: the real time
SIZE: Final = 8  # payload: JSON {rows, columns} of the pty
# from the guest
OUT: Final = 16
ERR: Final = 17
EXIT: Final = 18  # payload: JSON {status} or {error}; the channel is over


class Frame(NamedTuple):
    kind: int
    channel: int
    data: bytes


def pack(kind: int, channel: int, data: bytes = b"") -> bytes:
    return HEADER.pack(MAGIC, kind, channel, len(data), END) + data


class Reader:
    """Bytes in, frames out. What is no frame is skipped: the rest of one that a restore cut off."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        self._held += data
        frames: list[Frame] = []
        while len(self._held) >= HEADER.size:
            magic, kind, channel, length, end = HEADER.unpack_from(self._held)
            if magic != MAGIC or end != END or length > 2 * CHUNK:
                found = self._held.find(MAGIC, 1)
                del self._held[: found if found > 0 else len(self._held) - 1]
                continue
            if len(self._held) < HEADER.size + length:
                break
            frames.append(Frame(kind, channel, bytes(self._held[HEADER.size : HEADER.size + length])))
            del self._held[: HEADER.size + length]
        return frames

    def skip_to(self, frame: bytes) -> bool:
        """Drops everything up to and with these bytes. False if they are not there (yet)."""
        place = self._held.find(frame)
        if place < 0:
            del self._held[: max(0, len(self._held) - len(frame))]
            return False
        del self._held[: place + len(frame)]
        return True

    def hold(self, data: bytes) -> None:
        """Takes bytes without looking at them yet."""
        self._held += data
