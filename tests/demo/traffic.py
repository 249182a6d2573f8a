"""What the host is there for, all the while: orders through nginx, the service and redis, and logins."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.demo.world import SSH
from tests.guest.channel import ChannelError
from tests.guest.guest import Guest

PATIENCE = 20.0
PAUSE = 0.1
LOGIN_PAUSE = 1.0


class RefusedError(Exception):
    """A normal request was not answered as it should be."""


@dataclass
class Count:
    """How one kind of request fared."""

    done: int = 0
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0


class Traffic:
    """Normal requests from outside, in threads of their own, until `stop`."""

    def __init__(self, guest: Guest, port: int) -> None:
        """`port` of our loopback is nginx's in the guest."""
        self._guest = guest
        self._port = port
        self._ended = threading.Event()
        self._orders = 0
        self.requests = Count()
        self.logins = Count()
        self._threads = [
            threading.Thread(target=self._go, args=(self._order, self.requests, PAUSE), daemon=True),
            threading.Thread(target=self._go, args=(self._login, self.logins, LOGIN_PAUSE), daemon=True),
        ]

    def start(self) -> None:
        """Begins."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends, after the requests under way."""
        self._ended.set()
        for thread in self._threads:
            thread.join(3 * PATIENCE)

    def _go(self, kind: Callable[[Count], None], count: Count, pause: float) -> None:
        while not self._ended.is_set():
            kind(count)
            self._ended.wait(pause)

    def _order(self, count: Count) -> None:
        """One round: is it healthy, one more order, and does the balance hold it?"""
        self._one(count, lambda: _want(self._http("GET", "/healthz"), healthy=True))
        self._orders += 1
        balance = 42 * self._orders
        self._one(count, lambda: _want(self._http("POST", "/order"), order=self._orders, balance=balance))
        self._one(count, lambda: _want(self._http("GET", "/balance"), balance=balance))

    def _login(self, count: Count) -> None:
        def login() -> None:
            try:
                result = self._guest.run(f"{SSH} 'echo in as $(id -un)'", check=False, timeout=3 * PATIENCE)
            except (ChannelError, TimeoutError) as error:
                raise RefusedError(f"login: {error}") from None
            if result.stdout != "in as root\n":
                raise RefusedError(f"login: status {result.status}: {result.stdout}{result.stderr}")

        self._one(count, login)

    def _one(self, count: Count, request: Callable[[], None]) -> None:
        begin = time.monotonic()
        try:
            request()
        except (OSError, http.client.HTTPException, ValueError, RefusedError) as error:
            count.failures.append(f"{type(error).__name__}: {error}")
        count.done += 1
        count.slowest = max(count.slowest, time.monotonic() - begin)

    def _http(self, method: str, path: str) -> bytes:
        return http_request(self._port, method, path)


def http_request(port: int, method: str, path: str, body: bytes = b"") -> bytes:
    """The body of the answer; RefusedError if its status is not 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise RefusedError(f"{method} {path}: {response.status}")
    return content


def _want(content: bytes, **wanted: object) -> None:
    answer = json.loads(content)
    if answer != wanted:
        raise RefusedError(f"{answer} instead of {wanted}")
