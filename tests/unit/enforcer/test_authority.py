"""Who may ask for what."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from enforcer.agent.authority import Authority
from enforcer.api import menshen_pb2 as pb
from enforcer.api import menshen_pb2_grpc as pb_grpc
from enforcer.errors import RefusedError
from enforcer.names import Names
from enforcer.serving.peers import Gatekeeper, Peer, peer_of
from identity.names import identity_id
from tests.unit.enforcer.conftest import Host

GROUP = 777
API = identity_id("payments/api")
ADMIN = identity_id("os/bash")


@pytest.fixture
def pidfd() -> Iterator[int]:
    handle = os.pidfd_open(os.getpid())
    yield handle
    os.close(handle)


def peer(pidfd: int, uid: int = 0, gid: int = 0, groups: tuple[int, ...] = (), identity: int = ADMIN) -> Peer:
    return Peer(os.getpid(), uid, gid, frozenset(groups), pidfd, identity)


def authority(now: int = ADMIN, confined: tuple[int, ...] = (API,)) -> Authority:
    names = Names()
    names.learn_names(["payments/api", "os/bash"])
    return Authority(GROUP, names, lambda _: now, lambda identity: identity in confined)


@pytest.mark.parametrize(
    ("uid", "gid", "groups", "may"),
    [(0, 0, (), True), (1000, GROUP, (), True), (1000, 1000, (5, GROUP), True), (1000, 1000, (5,), False)],
    ids=["root", "the group", "the group among others", "anybody else"],
)
def test_reading(pidfd: int, uid: int, gid: int, groups: tuple[int, ...], may: bool) -> None:
    caller = peer(pidfd, uid, gid, groups)
    if may:
        authority().may_read(caller)
    else:
        with pytest.raises(RefusedError, match="group menshen"):
            authority().may_read(caller)


def test_changing_is_roots_from_an_unconfined_process(pidfd: int) -> None:
    assert authority().may_change(peer(pidfd)) == "os/bash"


def test_a_member_of_the_group_may_not_change(pidfd: int) -> None:
    with pytest.raises(RefusedError, match="may not change"):
        authority().may_change(peer(pidfd, 1000, GROUP))


def test_root_inside_a_confined_service_may_not_change(pidfd: int) -> None:
    with pytest.raises(RefusedError, match="payments/api, which an enforced policy confines"):
        authority(now=API).may_change(peer(pidfd, identity=API))


def test_a_connection_made_while_confined_stays_so_after_an_exec(pidfd: int) -> None:
    with pytest.raises(RefusedError, match="payments/api"):
        authority(now=ADMIN).may_change(peer(pidfd, identity=API))


def test_the_unidentified_may_change_only_while_no_policy_confines_them(pidfd: int) -> None:
    assert authority(now=0).may_change(peer(pidfd, identity=0)) == "unidentified"
    with pytest.raises(RefusedError, match="unidentified"):
        authority(now=0, confined=(0,)).may_change(peer(pidfd, identity=0))


def test_a_connection_whose_process_ended_may_not_change() -> None:
    child = subprocess.Popen(["sleep", "100"])
    handle = os.pidfd_open(child.pid)
    child.kill()
    child.wait()
    with pytest.raises(RefusedError, match="has ended"):
        authority().may_change(peer(handle))
    os.close(handle)


def test_a_connection_past_the_gatekeeper_is_refused_roots_too(host: Host) -> None:
    with grpc.insecure_channel(f"unix:{host.places.inner_socket}") as channel:
        stub = pb_grpc.AgentStub(channel)  # type: ignore[no-untyped-call]
        for call in (stub.Status, stub.Off):
            with pytest.raises(grpc.RpcError) as refused:
                call(pb.StatusRequest() if call is stub.Status else pb.OffRequest(reason="x"))
            assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert not host.gate.detached


def test_the_sockets_modes(host: Host) -> None:
    assert host.places.socket.stat().st_mode & 0o777 == 0o660
    assert host.places.inner_socket.parent.stat().st_mode & 0o777 == 0o700


CONFINED = b"Policy api payments/api enforce\n"


def test_a_confined_caller_is_refused_through_the_whole_api_and_logged(host: Host) -> None:
    host.agent.policy.apply({"api.yaml": CONFINED})
    host.gate.labels[os.getpid()] = API
    for arguments in (["policy", "apply", __file__], ["off", "--reason", "x"], ["reload"]):
        done = host.menshen(*arguments)
        assert done.exit_code == 1
        assert "payments/api, which an enforced policy confines" in done.output
    assert host.menshen("status").exit_code == 0
    assert not host.gate.detached
    assert "off was refused" in host.menshen("events", "--kind", "notice").output


OTHER_USER = """
import os, sys, grpc
sys.path.insert(0, {tree!r})
from enforcer.api import menshen_pb2 as pb, menshen_pb2_grpc as pb_grpc
stub = pb_grpc.AgentStub(grpc.insecure_channel("unix:" + {socket!r}))
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    stub.Status(pb.StatusRequest())
    print("answered")
except grpc.RpcError as error:
    print(error.code().name)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_the_kernel_says_who_connects_and_not_the_client(host: Host, tmp_path: Path) -> None:
    host.places.socket.chmod(0o666)
    for folder in (tmp_path, *tmp_path.parents, host.places.run, host.places.run.parent):
        if folder != Path("/") and folder.stat().st_uid == os.geteuid():
            folder.chmod(folder.stat().st_mode | 0o055)
    script = OTHER_USER.format(tree=str(Path(__file__).parents[3]), socket=str(host.places.socket))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.strip() == "PERMISSION_DENIED", done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_all_groups_of_a_caller_are_seen(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket"))
    listener.listen()
    code = (
        "import os, socket; os.setgroups([777, 888, 999]); s = socket.socket(socket.AF_UNIX); "
        f"s.connect({str(tmp_path / 'socket')!r}); input()"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    connection, _ = listener.accept()
    caller = peer_of(connection, lambda pid: pid + 1)
    assert (caller.pid, caller.uid, caller.identity) == (child.pid, 0, child.pid + 1)
    assert caller.groups == {777, 888, 999}
    assert not caller.gone
    child.communicate(b"\n")
    assert caller.gone
    os.close(caller.pidfd)
    connection.close()
    listener.close()


def test_the_gatekeeper_bounds_its_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enforcer.serving.peers.MAX_CONNECTIONS", 3)
    inner = socket.socket(socket.AF_UNIX)
    inner.bind(str(tmp_path / "inner"))
    inner.listen()
    keeper = Gatekeeper(tmp_path / "public", tmp_path / "inner", identify=lambda _: 0)
    keeper.start()
    clients = [socket.socket(socket.AF_UNIX) for _ in range(5)]
    for client in clients:
        client.settimeout(2)
        client.connect(str(tmp_path / "public"))
    held = []
    for client in clients[:3]:
        held.append(inner.accept()[0])
        held[-1].sendall(b"x")
        assert client.recv(1) == b"x"
    assert [client.recv(1) for client in clients[3:]] == [b"", b""]
    clients[0].close()
    deadline = time.monotonic() + 5
    while keeper._open == 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    again = socket.socket(socket.AF_UNIX)
    again.connect(str(tmp_path / "public"))
    held.append(inner.accept()[0])
    keeper.stop()
    for one in (*clients, *held, again, inner):
        one.close()


def test_a_dead_client_does_not_keep_its_connection(host: Host) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", f"import socket, time; s = socket.socket(socket.AF_UNIX); "
         f"s.connect({str(host.places.socket)!r}); time.sleep(100)"]
    )  # fmt: skip
    keeper = host.agent._server.gatekeeper
    _until(lambda: keeper._open == 1)
    child.send_signal(signal.SIGKILL)
    child.wait()
    _until(lambda: keeper._open == 0)
    assert not keeper._peers


def _until(done: object, seconds: float = 10) -> None:
    assert callable(done)
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)
