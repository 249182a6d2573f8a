"""What stands outside of the host, and what arrives there."""

from __future__ import annotations

import threading
import time

from tests.demo.world import NAMESPACE, OUTSIDE, OUTSIDE_TCP, OUTSIDE_UDP, SCANNED
from tests.guest import wire
from tests.guest.channel import ChannelError
from tests.guest.guest import Guest


class Outside:
    """A listener in a network namespace of its own; service/outside.py."""

    def __init__(self, guest: Guest) -> None:
        command = ["ip", "netns", "exec", NAMESPACE, "python3", "-I", "/usr/local/lib/outside.py"]
        ports = map(str, (OUTSIDE_TCP, OUTSIDE_UDP, *SCANNED))
        self._process = guest.popen([*command, OUTSIDE, *ports])
        self._lines: list[str] = []
        self._arrived = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()
        if not self._wait("ready", 30):
            raise ChannelError(f"the outside did not start: {self._lines}")

    def _read(self) -> None:
        rest = b""
        try:
            for kind, data in self._process.events():
                *lines, rest = (rest + data).split(b"\n")
                with self._arrived:
                    self._lines += [line.decode() for line in lines] if kind == wire.OUT else [data.decode()]
                    self._arrived.notify_all()
        except ChannelError:
            pass  # the guest ends before we do

    def _wait(self, text: str, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        with self._arrived:
            while not any(text in line for line in self._lines):
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._arrived.wait(left)
        return True

    def got(self, text: str, seconds: float) -> bool:
        """Whether these words arrive."""
        return self._wait(text.encode().hex(), seconds)

    @property
    def received(self) -> int:
        """Messages that arrived."""
        return sum(1 for line in self._lines if line.startswith(("tcp ", "udp ")))
