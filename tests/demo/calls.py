"""System calls that the service makes for whoever reaches its endpoint; the language: service/debug.h."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field

NUMBERS = {
    "read": 0, "write": 1, "open": 2, "close": 3, "mmap": 9, "mprotect": 10, "munmap": 11, "pread": 17,
    "socket": 41, "connect": 42, "sendto": 44, "execve": 59, "wait4": 61, "ftruncate": 77, "rename": 82,
    "unlink": 87, "chmod": 90, "ptrace": 101, "init_module": 175, "lseek": 8, "finit_module": 313,
    "process_vm_readv": 310, "memfd_create": 319, "execveat": 322,
}  # fmt: skip
"""On x86-64."""

Word = int | str
"""A number, or what a method of Calls gave: the address of a buffer, the result of an earlier call."""


@dataclass
class Calls:
    """A sequence of system calls, done as one."""

    child: bool = False
    _slots: list[str] = field(default_factory=list)
    _calls: list[str] = field(default_factory=list)

    def data(self, content: bytes) -> Word:
        """A buffer with these bytes."""
        return self._slot(f"buf {content.hex()}")

    def text(self, content: str) -> Word:
        """A buffer with a C string."""
        return self.data(os.fsencode(content) + b"\0")

    def room(self, size: int) -> Word:
        """An empty buffer; the answer has what was written into it."""
        return self._slot(f"out {size}")

    def words(self, *words: Word) -> Word:
        """An array of 64-bit words, buffers among them: argv, iovec."""
        return self._slot(f"vec {' '.join(map(str, words))}")

    def call(self, name: str, *words: Word) -> Word:
        """One more call; gives what it will have returned."""
        self._calls.append(f"call {NUMBERS[name]} {' '.join(map(str, words))}".rstrip())
        return f"r{len(self._calls) - 1}"

    def _slot(self, line: str) -> Word:
        self._slots.append(line)
        return f"b{len(self._slots) - 1}"

    def __len__(self) -> int:
        return len(self._calls)

    def body(self) -> bytes:
        """What is sent."""
        lines = [*self._slots, "child" if self.child else "here", *self._calls]
        return "\n".join(lines).encode() + b"\n"


@dataclass(frozen=True)
class Answer:
    """What the kernel answered to each call: what it returned, and errno (0 if it succeeded)."""

    results: tuple[tuple[int, int], ...]
    outputs: tuple[bytes, ...] = ()
    said: bytes = b""
    """What a new program in the child's place printed."""

    def error(self, number: int) -> int:
        """errno of a call. One that is not there never returned: execve that succeeded."""
        return self.results[number][1] if number < len(self.results) else 0


def parse(reply: str) -> Answer:
    """The answer as the service wrote it."""
    results, outputs, said = [], [], b""
    for line in reply.splitlines():
        word, *rest = line.split(" ")
        match word:
            case "call":
                results.append((int(rest[1]), int(rest[2])))
            case "out":
                outputs.append(bytes.fromhex(rest[1]))
            case "said":
                said = bytes.fromhex(rest[0])
    return Answer(tuple(results), tuple(outputs), said)


def error_name(number: int) -> str:
    """EACCES and the like."""
    return errno.errorcode.get(number, str(number)) if number else "success"
