"""The guest's end: runs the host's commands as root over a virtio-serial port, many at a time.

Installed at /usr/local/lib/menshen-guest beside wire.py, started by menshen-guest.service. It needs no
network and survives a restored snapshot: at HELLO channels of the past are forgotten.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import selectors
import signal
import struct
import subprocess
import sys
import termios
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.guest import wire
else:
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    import wire

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "USER": "root",
    "LOGNAME": "root",
    "SHELL": "/bin/bash",
    "LANG": "C.UTF-8",
}


def open_port() -> int:
    """The virtio-serial port by its name; waits for its driver."""
    while True:
        for entry in Path("/sys/class/virtio-ports").glob("*"):
            if (entry / "name").read_text().strip() == wire.PORT:
                return os.open(f"/dev/{entry.name}", os.O_RDWR | os.O_CLOEXEC)
        time.sleep(0.05)


class Channel:
    """A command that runs: its process, our ends of its pipes, and input that it has not taken yet."""

    def __init__(
        self, number: int, process: subprocess.Popen[bytes], stdin: int, outputs: dict[int, int]
    ) -> None:
        self.number = number
        self.process = process
        self.pidfd = os.pidfd_open(process.pid)
        self.stdin: int | None = stdin
        self.outputs = outputs  # descriptor: kind of frame
        self.terminal: int | None = None
        self.orphan = False
        self.input: deque[bytes] = deque()
        self.input_over = False
        for descriptor in (stdin, *outputs):
            os.set_blocking(descriptor, False)


def pipes() -> tuple[tuple[int, int, int], int, dict[int, int]]:
    """The three streams of a process, our end of its input, our ends of its outputs."""
    (stdin, feed), (out, stdout), (err, stderr) = os.pipe(), os.pipe(), os.pipe()
    return (stdin, stdout, stderr), feed, {out: wire.OUT, err: wire.ERR}


def terminal() -> tuple[tuple[int, int, int], int, dict[int, int]]:
    """The same for a process on a terminal of its own."""
    master, slave = pty.openpty()
    return (slave, os.dup(slave), os.dup(slave)), os.dup(master), {master: wire.OUT}


def own_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Agent:
    def __init__(self) -> None:
        self.port = open_port()
        self.reader = wire.Reader()
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.port, selectors.EVENT_READ, self.on_port)
        self.channels: dict[int, Channel] = {}
        self.files: dict[int, tuple[int, str, str]] = {}

    def serve(self) -> None:
        while True:
            for key, events in self.selector.select():
                if key.fd in self.selector.get_map():  # an earlier event of this round may have closed it
                    key.data(events)

    def send(self, kind: int, channel: int, data: bytes = b"") -> None:
        view = memoryview(wire.pack(kind, channel, data))
        while view:
            view = view[os.write(self.port, view) :]

    def finish(self, channel: int, **result: Any) -> None:
        self.send(wire.EXIT, channel, json.dumps(result).encode())

    # from the host -----------------------------------------------------------------------------------------

    def on_port(self, _events: int) -> None:
        data = os.read(self.port, wire.CHUNK)
        if not data:
            time.sleep(0.02)  # nobody is connected on the host
            return
        for frame in self.reader.feed(data):
            try:
                self.on_frame(frame)
            except Exception as error:
                self.finish(frame.channel, error=f"{type(error).__name__}: {error}")

    def on_frame(self, frame: wire.Frame) -> None:
        if frame.kind == wire.HELLO:
            self.on_hello(frame)
        elif frame.kind == wire.DATA:
            self.on_data(frame)
        else:
            request = json.loads(frame.data)
            if frame.kind == wire.RUN:
                self.start(frame.channel, request)
            elif frame.kind == wire.PUT:
                self.put(frame.channel, request)
            elif frame.kind == wire.GET:
                self.get(frame.channel, request)
            elif frame.kind == wire.CLOCK:
                time.clock_settime_ns(time.CLOCK_REALTIME, request["ns"])
                self.finish(frame.channel, status=0)
            elif frame.kind == wire.SIGNAL and frame.channel in self.channels:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.channels[frame.channel].process.pid, request["signal"])
            elif frame.kind == wire.SIZE and frame.channel in self.channels:
                self.resize(self.channels[frame.channel], request)

    def on_hello(self, frame: wire.Frame) -> None:
        for channel in self.channels.values():
            channel.orphan = True
        for descriptor, _, scratch in self.files.values():
            os.close(descriptor)
            Path(scratch).unlink(missing_ok=True)
        self.files.clear()
        self.send(wire.HELLO, frame.channel, frame.data)

    def on_data(self, frame: wire.Frame) -> None:
        if frame.channel in self.files:
            self.more_of_file(frame)
            return
        channel = self.channels.get(frame.channel)
        if channel is None or channel.stdin is None:
            return
        if frame.data:
            channel.input.append(frame.data)
        else:
            channel.input_over = True
        if channel.stdin not in self.selector.get_map():
            self.selector.register(channel.stdin, selectors.EVENT_WRITE, lambda _: self.feed_input(channel))

    # files -------------------------------------------------------------------------------------------------

    def put(self, number: int, request: dict[str, Any]) -> None:
        path = Path(request["path"])
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = f"{path.parent}/.{path.name}.menshen-guest.{number}"
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        os.fchmod(descriptor, request["mode"])
        self.files[number] = (descriptor, str(path), scratch)

    def more_of_file(self, frame: wire.Frame) -> None:
        descriptor, path, scratch = self.files[frame.channel]
        try:
            if frame.data:
                os.write(descriptor, frame.data)
                return
            os.close(descriptor)
            os.rename(scratch, path)  # noqa: PTH104
            self.finish(frame.channel, status=0)
        except OSError:
            Path(scratch).unlink(missing_ok=True)
            raise
        finally:
            if not frame.data:
                del self.files[frame.channel]

    def get(self, number: int, request: dict[str, Any]) -> None:
        with Path(request["path"]).open("rb") as handle:
            while data := handle.read(wire.CHUNK):
                self.send(wire.OUT, number, data)
        self.finish(number, status=0)

    # processes ---------------------------------------------------------------------------------------------

    def start(self, number: int, request: dict[str, Any]) -> None:
        on_terminal = bool(request.get("pty"))
        theirs, feed, outputs = terminal() if on_terminal else pipes()
        try:
            process = subprocess.Popen(
                request["argv"],
                stdin=theirs[0],
                stdout=theirs[1],
                stderr=theirs[2],
                cwd=request.get("cwd") or "/root",
                env={**ENVIRONMENT, **request.get("env", {})},
                start_new_session=True,
                preexec_fn=own_terminal if on_terminal else None,  # noqa: PLW1509 - one thread here
            )
        except OSError as error:
            for descriptor in (feed, *outputs):
                os.close(descriptor)
            # what a shell would say: 126 cannot be run, 127 is not there
            self.send(wire.ERR, number, f"{request['argv'][0]}: {error.strerror}\n".encode())
            self.finish(number, status=127 if isinstance(error, FileNotFoundError) else 126)
            return
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        channel = Channel(number, process, feed, outputs)
        channel.terminal = next(iter(outputs)) if on_terminal else None
        self.channels[number] = channel
        for descriptor, kind in channel.outputs.items():
            self.selector.register(
                descriptor, selectors.EVENT_READ, self.reader_of(channel, descriptor, kind)
            )
        self.selector.register(channel.pidfd, selectors.EVENT_READ, lambda _: self.on_exit(channel))

    def reader_of(self, channel: Channel, descriptor: int, kind: int) -> Any:
        def on_output(_events: int) -> None:
            if not self.pump(channel, descriptor, kind):
                self.close_output(channel, descriptor)

        return on_output

    def pump(self, channel: Channel, descriptor: int, kind: int) -> bool:
        """Passes one piece of output on; False at its end, None is not an end."""
        try:
            data = os.read(descriptor, wire.CHUNK)
        except BlockingIOError:
            return True
        except OSError:  # a pty whose other side is closed
            return False
        if data and not channel.orphan:
            self.send(kind, channel.number, data)
        return bool(data)

    def close_output(self, channel: Channel, descriptor: int) -> None:
        self.selector.unregister(descriptor)
        del channel.outputs[descriptor]
        channel.terminal = None
        os.close(descriptor)

    def feed_input(self, channel: Channel) -> None:
        assert channel.stdin is not None
        try:
            while channel.input:
                written = os.write(channel.stdin, channel.input[0])
                rest = channel.input.popleft()[written:]
                if rest:
                    channel.input.appendleft(rest)
        except BlockingIOError:
            return
        except OSError:
            channel.input.clear()
            channel.input_over = True
        self.selector.unregister(channel.stdin)
        if channel.input_over:
            os.close(channel.stdin)
            channel.stdin = None

    def on_exit(self, channel: Channel) -> None:
        """The process has ended: what it wrote is passed on; its children are not waited for."""
        status = channel.process.wait()
        self.selector.unregister(channel.pidfd)
        os.close(channel.pidfd)
        for descriptor, kind in list(channel.outputs.items()):
            while self.pending(descriptor) and self.pump(channel, descriptor, kind):
                pass
            self.close_output(channel, descriptor)
        if channel.stdin is not None:
            if channel.stdin in self.selector.get_map():
                self.selector.unregister(channel.stdin)
            os.close(channel.stdin)
            channel.stdin = None
        if self.channels.get(channel.number) is channel:
            del self.channels[channel.number]
        if not channel.orphan:
            self.finish(channel.number, status=status)

    @staticmethod
    def pending(descriptor: int) -> bool:
        size = bytearray(4)
        try:
            fcntl.ioctl(descriptor, termios.FIONREAD, size)
        except OSError:
            return False
        return int(struct.unpack("i", size)[0]) > 0

    @staticmethod
    def resize(channel: Channel, request: dict[str, Any]) -> None:
        if channel.terminal is not None:
            size = struct.pack("HHHH", request["rows"], request["columns"], 0, 0)
            fcntl.ioctl(channel.terminal, termios.TIOCSWINSZ, size)


def main() -> None:
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    Agent().serve()


if __name__ == "__main__":
    main()
