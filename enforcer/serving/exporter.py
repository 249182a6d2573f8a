"""Where metrics can be had: over HTTP on a unix socket or an address, and as a file for node_exporter's
text-file collector. The service does its work without: what fails here is told, and that is all.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import socketserver
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from enforcer.serving.metrics import Exported
from identity.files import write_atomically

log = logging.getLogger("menshen.metrics")

NONE: Final = "none"
UNIX: Final = "unix"
"""The service's own socket under /run/menshen."""
EVERY: Final = 15.0
"""Seconds between two writings of the file."""
PATIENCE: Final = 5.0
"""Seconds that a client may keep silent."""
_SUFFIX: Final = ".prom"


def address_fault(text: str) -> str | None:
    """What is wrong with the setting `metrics`; None if it can be used."""
    if text in (NONE, UNIX):
        return None
    try:
        _address(text)
    except ValueError:
        return f"metrics is {UNIX}, {NONE}, or an IP address and a port, as 127.0.0.1:9464 or [::1]:9464"
    return None


def file_fault(text: str) -> str | None:
    """What is wrong with the setting `metrics_file`; None if it can be used."""
    if not text or (text.startswith("/") and text.endswith(_SUFFIX)):
        return None
    return f"metrics_file is a path from / that ends with {_SUFFIX}: node_exporter reads no others"


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ValueError(text)
    return str(ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))), int(port)


@dataclass(frozen=True, slots=True)
class Outputs:
    """What the settings ask for. `socket` is where `unix` means; its readers are root and `group`."""

    address: str
    file: str
    socket: Path
    group: int | None = None


class Exporter:
    """Both outputs, started and stopped together."""

    def __init__(self, exported: Exported[Any], outputs: Outputs, *, every: float = EVERY) -> None:
        self._exported = exported
        self._outputs = outputs
        self._every = every
        self._server: _Server | None = None
        self._writer = threading.Thread(target=self._write, name="metrics-file", daemon=True)
        self._stopped = threading.Event()
        self._faults: dict[str, str] = {}

    @property
    def fault(self) -> str:
        """Why metrics cannot be had as the settings say; empty if they can."""
        return "; ".join(self._faults.values())

    @property
    def where(self) -> str:
        """In words, for `menshen status`."""
        address = {UNIX: str(self._outputs.socket), NONE: ""}.get(
            self._outputs.address, self._outputs.address
        )
        return ", ".join(filter(None, (address, self._outputs.file))) or "not exported"

    def start(self) -> None:
        """Answer and write from now on."""
        if self._outputs.address != NONE:
            try:
                self._server = self._listen()
            except OSError as error:
                self._tell("address", f"cannot listen at {self._outputs.address}: {error.strerror}")
            else:
                threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()
        if self._outputs.file:
            self._writer.start()

    def stop(self) -> None:
        """End; a file that is not written any more would be taken for the present."""
        self._stopped.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            if self._outputs.address == UNIX:
                self._outputs.socket.unlink(missing_ok=True)
        if self._writer.is_alive():
            self._writer.join(PATIENCE)
            Path(self._outputs.file).unlink(missing_ok=True)

    def _listen(self) -> _Server:
        if self._outputs.address != UNIX:
            host, port = _address(self._outputs.address)
            return _Server((host, port), self._exported, socket.AF_INET6 if ":" in host else socket.AF_INET)
        path = self._outputs.socket
        path.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            server = _Server(str(path), self._exported, socket.AF_UNIX)
        finally:
            os.umask(mask)
        if self._outputs.group is not None:
            os.chown(path, -1, self._outputs.group)
        path.chmod(0o660)
        return server

    def _write(self) -> None:
        path = Path(self._outputs.file)
        while True:
            try:
                write_atomically(path, self._exported.render()[0])
                self._faults.pop("file", None)
            except OSError as error:
                self._tell("file", f"cannot write {path}: {error.strerror}")
            except Exception as error:  # a metric that cannot be read now: the next time it may be
                self._tell("file", f"metrics cannot be read: {error}")
            if self._stopped.wait(self._every):
                return

    def _tell(self, what: str, fault: str) -> None:
        if self._faults.get(what) != fault:
            log.error("%s", fault)
        self._faults[what] = fault


class _Server(socketserver.TCPServer):
    """One client at a time, for as long as one scrape takes."""

    allow_reuse_address = True

    def __init__(self, address: Any, exported: Exported[Any], family: socket.AddressFamily) -> None:
        self.address_family = family
        self.exported = exported
        super().__init__(address, socketserver.BaseRequestHandler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """With the first scrape come the modules that it takes."""
        from enforcer.serving.scrape import Scrape  # noqa: PLC0415

        request.settimeout(PATIENCE)
        Scrape(request, client_address, self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away, or a metric that could not be read: the scrape failed, as it sees."""
        log.warning("a scrape failed", exc_info=True)
