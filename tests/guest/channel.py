"""The host's end of the agent's port: commands, files and the clock, from any number of threads."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import queue
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.guest import wire


class ChannelError(Exception):
    """The agent in the guest does not answer, or could not do what was asked of it."""


@dataclass(frozen=True)
class Gone:
    """Put into every queue when the connection ends, with the reason."""

    reason: str


class Process:
    """A command that runs in the guest."""

    def __init__(self, link: Link, number: int, label: str) -> None:
        self._link = link
        self._number = number
        self._frames: queue.SimpleQueue[wire.Frame | Gone] = queue.SimpleQueue()
        self.label = label
        self.status: int | None = None

    def _put(self, frame: wire.Frame | Gone) -> None:
        self._frames.put(frame)

    def events(self, timeout: float | None = None) -> Iterator[tuple[int, bytes]]:
        """(wire.OUT or wire.ERR, bytes) as they come, until the command is over or TimeoutError."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.status is None:
            wait = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                frame = self._frames.get(timeout=wait)
            except queue.Empty:
                raise TimeoutError(f"not over after {timeout:g} s: {self.label}") from None
            if isinstance(frame, Gone):
                self.status = -1
                raise ChannelError(f"{self.label}: {frame.reason}")
            if frame.kind == wire.EXIT:
                self._link.forget(self._number)
                answer = json.loads(frame.data)
                self.status = int(answer.get("status", -1))
                if "error" in answer:
                    raise ChannelError(f"{self.label}: {answer['error']}")
                return
            yield frame.kind, frame.data

    def write(self, data: bytes) -> None:
        """Input for the command."""
        for start in range(0, len(data), wire.CHUNK):
            self._link.send(wire.DATA, self._number, data[start : start + wire.CHUNK])

    def close_input(self) -> None:
        self._link.send(wire.DATA, self._number)

    def signal(self, number: int) -> None:
        """A signal for the command and what it started in its process group."""
        self._link.send(wire.SIGNAL, self._number, json.dumps({"signal": number}).encode())

    def resize(self, rows: int, columns: int) -> None:
        self._link.send(wire.SIZE, self._number, json.dumps({"rows": rows, "columns": columns}).encode())

    def wait(self, timeout: float | None = None) -> tuple[int, bytes, bytes]:
        """Until the command is over: its status and all that it wrote."""
        collected = {wire.OUT: bytearray(), wire.ERR: bytearray()}
        for kind, data in self.events(timeout):
            collected[kind] += data
        assert self.status is not None
        return self.status, bytes(collected[wire.OUT]), bytes(collected[wire.ERR])


class Link:
    """The connection to one guest's agent."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._numbers = itertools.count(1)
        self._open: dict[int, Process] = {}
        self._sending = threading.Lock()
        self._reader = wire.Reader()
        self._awaited: bytes | None = None
        self._greeted = threading.Event()
        self.gone = ""
        self._thread = threading.Thread(target=self._read, name="guest-link", daemon=True)
        self._thread.start()

    # frames ------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        reason = "the guest is gone"
        try:
            while data := self._socket.recv(1 << 17):
                self._take(data)
        except OSError as error:
            reason = f"the guest is gone: {error.strerror}"
        self.gone = reason
        for process in list(self._open.values()):
            process._put(Gone(reason))

    def _take(self, data: bytes) -> None:
        if self._awaited is not None:
            self._reader.hold(data)
            if not self._reader.skip_to(self._awaited):
                return
            self._awaited = None
            self._greeted.set()
            data = b""
        for frame in self._reader.feed(data):
            process = self._open.get(frame.channel)
            if process is not None:
                process._put(frame)

    def send(self, kind: int, number: int, data: bytes = b"") -> None:
        if self.gone:
            raise ChannelError(self.gone)
        with self._sending, contextlib.suppress(BrokenPipeError):
            self._socket.sendall(wire.pack(kind, number, data))

    def forget(self, number: int) -> None:
        self._open.pop(number, None)

    def _begin(self, kind: int, label: str, request: dict[str, Any]) -> Process:
        number = next(self._numbers)
        process = Process(self, number, label)
        self._open[number] = process
        self.send(kind, number, json.dumps(request).encode())
        return process

    def hello(self, timeout: float) -> None:
        """A fresh start with the agent, whatever either side had half said before."""
        for process in list(self._open.values()):
            process._put(Gone("the guest was set back to a snapshot"))
        self._open.clear()
        nonce = wire.pack(wire.HELLO, 0, os.urandom(16))
        self._greeted.clear()
        self._awaited = nonce
        with self._sending:
            self._socket.sendall(nonce)
        if not self._greeted.wait(timeout):
            raise ChannelError(f"the agent in the guest did not answer within {timeout:g} s")

    # requests ----------------------------------------------------------------------------------------------

    def start(self, argv: list[str], *, env: dict[str, str] | None, cwd: str | None, pty: bool) -> Process:
        request = {"argv": argv, "env": env or {}, "cwd": cwd, "pty": pty}
        return self._begin(wire.RUN, " ".join(argv), request)

    def put(self, path: str, data: bytes, mode: int) -> None:
        transfer = self._begin(wire.PUT, f"put {path}", {"path": path, "mode": mode})
        transfer.write(data)
        transfer.close_input()
        transfer.wait(600)

    def get(self, path: str) -> bytes:
        return self._begin(wire.GET, f"get {path}", {"path": path}).wait(600)[1]

    def set_clock(self) -> None:
        self._begin(wire.CLOCK, "set the clock", {"ns": time.time_ns()}).wait(60)

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """While the block runs nothing is said to the guest, and it has heard all that was said before."""
        self._begin(wire.CLOCK, "set the clock", {"ns": time.time_ns()}).wait(60)
        with self._sending:
            yield

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._socket.close()
