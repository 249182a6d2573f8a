"""What the service manager is told, and what it keeps for us."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from enforcer.serving.notify import store, stored


def test_a_descriptor_is_sent_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, (tmp_path / "file").open("w") as ours:
        manager.bind(address)
        assert store("pins", ours.fileno())
        assert manager.recv(100) == b"FDSTOREREMOVE=1\nFDNAME=pins"
        text, descriptors, _, _ = socket.recv_fds(manager, 100, 4)
    assert text == b"FDSTORE=1\nFDPOLL=0\nFDNAME=pins"
    assert os.fstat(descriptors[0]).st_ino == (tmp_path / "file").stat().st_ino
    os.close(descriptors[0])


def test_without_a_service_manager_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not store("pins", 0)


def test_what_was_kept_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDNAMES", "other:pins")
    assert stored("pins") == 4
    assert stored("else") is None
    monkeypatch.setenv("LISTEN_PID", "1")
    assert stored("pins") is None
