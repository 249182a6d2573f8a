"""QEMU's control socket: the few commands that a guest needs."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any


class QmpError(Exception):
    """QEMU refused a command, or is gone."""


class Qmp:
    """One connection; commands one at a time, events are passed over."""

    def __init__(self, path: Path, timeout: float = 120) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout)
        self._socket.connect(str(path))
        self._file = self._socket.makefile("rb")
        self._answer()
        self.execute("qmp_capabilities")

    def _answer(self) -> dict[str, Any]:
        while line := self._file.readline():
            message: dict[str, Any] = json.loads(line)
            if "event" not in message:
                return message
        raise QmpError("QEMU closed its control socket")

    def execute(self, command: str, **arguments: Any) -> Any:
        """One command, its answer; raises QmpError with QEMU's reason."""
        request: dict[str, Any] = {"execute": command}
        if arguments:
            request["arguments"] = arguments
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        answer = self._answer()
        if "error" in answer:
            raise QmpError(f"{command}: {answer['error'].get('desc', answer['error'])}")
        return answer.get("return")

    def monitor(self, line: str) -> str:
        """A command of the human monitor, for what QMP has no simple form of: savevm, loadvm."""
        return str(self.execute("human-monitor-command", **{"command-line": line})).strip()

    def close(self) -> None:
        self._file.close()
        self._socket.close()
