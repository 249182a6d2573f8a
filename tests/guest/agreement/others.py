"""Random accesses to what is no file: endpoints, sockets, other processes, and the machine."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Final

from bpf_lsm.layout import Operation
from policies.endpoint import SAME_AS, encode
from policies.image import Right, Special
from tests.guest.agreement import policies, world
from tests.guest.agreement.accesses import Scene
from tests.guest.agreement.judge import Step, View
from tests.guest.agreement.script import POKE, Argument, Got
from tests.guest.agreement.world import ACTORS, DATAGRAM, NONBLOCK, STREAM, SYS

AF_INET, AF_INET6 = 2, 10
MAPPED: Final = bytes(10) + b"\xff\xff"
MSG_FASTOPEN: Final = 0x20000000
TCP, UDP, UDPLITE, MPTCP = 6, 17, 136, 262
GONE: Final = (
    errno.ECONNREFUSED, errno.EINPROGRESS, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL,
    errno.EAFNOSUPPORT, errno.EINVAL, errno.EDESTADDRREQ, errno.EPIPE, errno.ENOTCONN, errno.EADDRINUSE,
    errno.EPROTONOSUPPORT, errno.EBADF, errno.EOPNOTSUPP, errno.EAGAIN,
)  # fmt: skip
"""What the network says when nobody listens, or an address is none of this host's."""


def sockaddr(address: str, port: int, *, mapped: bool, unspecified: bool = False) -> bytes:
    """struct sockaddr_in or sockaddr_in6."""
    if ":" in address:
        return (
            struct.pack("<H", AF_INET6)
            + struct.pack(">HI", port, 0)
            + socket.inet_pton(AF_INET6, address)
            + bytes(4)
        )
    raw = socket.inet_aton(address)
    if mapped:
        return struct.pack("<H", AF_INET6) + struct.pack(">HI", port, 0) + MAPPED + raw + bytes(4)
    return struct.pack("<H", 0 if unspecified else AF_INET) + struct.pack(">H", port) + raw + bytes(8)


def destination(address: str) -> str:
    """As the kernel takes it."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)


def network(scene: Scene, actor: int) -> None:
    """One socket: connected, sent from, or bound and listened on."""
    rng = scene.rng
    address = rng.choice((*policies.ADDRESSES, "0.0.0.0"))
    port = rng.choice(policies.PORTS)
    mapped = ":" not in address and rng.random() < 0.25
    protocol = rng.choice((TCP, TCP, UDP, UDP, UDPLITE, MPTCP))
    family = AF_INET6 if ":" in address or mapped else AF_INET
    kind = STREAM if protocol in (TCP, MPTCP) else DATAGRAM
    place = scene.script.data(sockaddr(address, port, mapped=mapped))
    size = 16 if family == AF_INET else 28
    made = scene.also(actor, "socket", family, kind | NONBLOCK, protocol)
    told = f"{address}{' mapped' if mapped else ''} port {port} protocol {protocol}"
    judged = SAME_AS.get(protocol, protocol)

    def connects(operation: Operation) -> Callable[[View], Iterator[Step]]:
        def ask(view: View) -> Iterator[Step]:
            where = encode(judged, destination(address), port)
            yield Step(view.operations(actor).connect(where), operation, None, errno.EPERM)

        return ask

    def listens(number: int, operation: Operation, where: str = address) -> Callable[[View], Iterator[Step]]:
        def ask(view: View) -> Iterator[Step]:
            verdict = view.operations(actor).listen(encode(judged, where, number))
            yield Step(verdict, operation, None, errno.EPERM)

        return ask

    do = rng.choice(("connect", "send", "bind", "listen"))
    if do == "connect":
        scene.ask(
            actor, f"connect to {told}", "connect", Got(made), place, size,
            asked=connects(Operation.CONNECT), natural=GONE, only_if=made,
        )  # fmt: skip
    elif do == "send":
        flags = MSG_FASTOPEN if protocol in (TCP, MPTCP) else 0
        asked = connects(Operation.SENDMSG)
        scene.ask(
            actor, f"send to {told}", "sendto", Got(made), b"x", 1, flags, place, size,
            asked=asked, natural=GONE, only_if=made,
        )  # fmt: skip
    else:
        bound = None
        if do == "bind" or rng.random() < 0.7:
            bound = scene.ask(
                actor, f"bind to {told}", "bind", Got(made), place, size,
                asked=listens(port, Operation.BIND) if port else lambda _: iter(()),
                natural=GONE, only_if=made,
            )  # fmt: skip
        if kind == STREAM:
            where = address if bound is not None else "::" if family == AF_INET6 else "0.0.0.0"
            scene.ask(
                actor, f"listen on {told}{'' if bound else ' unbound'}", "listen", Got(made), 4,
                asked=listens(port if bound is not None else 0, Operation.LISTEN, where),
                natural=GONE, only_if=made if bound is None else bound,
            )  # fmt: skip
    scene.close(actor, made)


def unix_connect(scene: Scene, actor: int) -> None:
    rng = scene.rng
    kind = rng.choice((STREAM, DATAGRAM))
    choices = {
        STREAM: (*world.STREAMS, *world.ABSTRACT_STREAMS),
        DATAGRAM: (*world.DATAGRAMS, *world.ABSTRACT_DATAGRAMS),
    }[kind]
    name = rng.choice(choices)
    called = name
    if not name.startswith(b"@"):
        ways = world.names(ACTORS[actor - 1], name, "/")
        if not ways:
            return
        called = rng.choice(list(ways.values()))
    address = world.unix_address(called)
    size = len(address) - (0 if name.startswith(b"@") else 1)
    place = scene.script.data(address)
    made = scene.also(actor, "socket", 1, kind | NONBLOCK, 0)
    operation = Operation.UNIX_CONNECT if kind == STREAM else Operation.UNIX_SEND

    def asked(view: View) -> Iterator[Step]:
        path = None if name.startswith(b"@") else name
        yield Step(view.operations(actor).unix_connect(name), operation, path, errno.EPERM)

    server = world.SOCKETS[name]
    if kind == STREAM or rng.random() < 0.4:
        done = scene.ask(
            actor, f"connect to unix {name!r}", "connect", Got(made), place, size,
            asked=asked, only_if=made,
        )  # fmt: skip
        if kind == STREAM:
            scene.also(0, "accept4", server, 0, 0, 0, only_if=done)
            scene.also(0, "close", Got(len(scene.script) - 1), only_if=len(scene.script) - 1)
    else:
        done = scene.ask(
            actor, f"send to unix {name!r}", "sendto", Got(made), b"x", 1, 0, place, size,
            asked=asked, only_if=made,
        )  # fmt: skip
        scene.also(0, "recvfrom", server, scene.script.space(16), 16, 0, 0, 0, only_if=done)
    scene.close(actor, made)


def unix_listen(scene: Scene, actor: int) -> None:
    """Bind, which makes the name, and listen."""
    rng = scene.rng
    kind = rng.choice((STREAM, STREAM, DATAGRAM))
    folder = rng.choice(world.directories())
    name = rng.choice(
        (b"@agree-new", b"@agree-" + bytes([rng.randrange(256)]), b"@b", folder + b"/n.sock", folder + b"/n")
    )
    abstract = name.startswith(b"@")
    called = name
    if not abstract:
        ways = world.names(ACTORS[actor - 1], name, "/")
        if not ways:
            return
        called = rng.choice([way for way in ways.values() if len(way) < 100])
    address = world.unix_address(called)
    size = len(address) - (0 if abstract else 1)
    made = scene.also(actor, "socket", 1, kind | NONBLOCK, 0)

    def binds(view: View) -> Iterator[Step]:
        operations = view.operations(actor)
        if abstract:
            yield Step(operations.unix_listen(name), Operation.BIND, None, errno.EPERM)
        else:
            yield Step(operations.create(name), Operation.MKNOD, name)

    def listens(view: View) -> Iterator[Step]:
        verdict = view.operations(actor).judge(name, Right.LISTEN)
        yield Step(verdict, Operation.LISTEN, None if abstract else name, errno.EPERM)

    bound = scene.ask(
        actor,
        f"bind unix {name!r}",
        "bind",
        Got(made),
        scene.script.data(address),
        size,
        asked=binds,
        only_if=made,
        natural=[errno.EADDRINUSE],
    )
    if kind == STREAM:
        scene.ask(actor, f"listen on unix {name!r}", "listen", Got(made), 4, asked=listens, only_if=bound)
    scene.close(actor, made)
    if not abstract:
        scene.also(0, "unlink", name)


SPECIALS: Final[dict[str, tuple[Special, Operation, tuple[int, ...]]]] = {
    "raw-socket": (Special.RAW_SOCKET, Operation.SOCKET, ()),
    "raw6-socket": (Special.RAW_SOCKET, Operation.SOCKET, ()),
    "packet-socket": (Special.PACKET_SOCKET, Operation.SOCKET, (errno.EAFNOSUPPORT,)),
    "netlink": (Special.NETLINK, Operation.SOCKET, ()),
    "vsock": (Special.VSOCK, Operation.SOCKET, (errno.EAFNOSUPPORT, errno.ENODEV)),
    "alg": (Special.AF_ALG, Operation.SOCKET, (errno.EAFNOSUPPORT,)),
    "other-socket": (Special.PACKET_SOCKET, Operation.SOCKET, (errno.EAFNOSUPPORT,)),
    "bpf": (Special.BPF, Operation.BPF, (errno.ENOENT,)),
    "perf": (Special.PERF, Operation.PERF, (errno.ENOENT, errno.EOPNOTSUPP)),
    "userns": (Special.USERNS, Operation.USERNS, ()),
    "chroot": (Special.CHROOT, Operation.CHROOT, ()),
    "settime": (Special.CLOCK, Operation.SETTIME, ()),
    "syslog": (Special.SYSLOG, Operation.SYSLOG, ()),
    "mount": (Special.MOUNT, Operation.MOUNT, ()),
    "umount": (Special.MOUNT, Operation.UMOUNT, ()),
}
AF_NETLINK, AF_PACKET, AF_ALG, AF_VSOCK, AF_XDP, SOCK_RAW = 16, 17, 38, 40, 44, 3


def special(scene: Scene, actor: int) -> None:
    """A special right of the subject's own."""
    kind = scene.rng.choice(list(SPECIALS))
    word, operation, natural = SPECIALS[kind]

    mount_point = world.ROOT + b"/ab/empty"
    jailed = ACTORS[actor - 1].name in world.JAILED

    def asked(view: View) -> Iterator[Step]:
        operations = view.operations(actor)
        yield Step(operations.special(word), operation, None, errno.EPERM)
        # what is mounted in a namespace of one's own hides nothing from anybody else
        if kind in ("mount", "umount") and ACTORS[actor - 1].name not in world.PRIVATE:
            yield Step(operations.mount_over(mount_point), operation, mount_point)
        if kind == "perf":  # asked again for what is measured
            yield Step(operations.special(word), operation, None, errno.EPERM, optional=True)

    script = scene.script

    def ask(call: str, *arguments: Argument, forked: bool = False) -> int:
        return scene.ask(actor, kind, call, *arguments, asked=asked, natural=natural, forked=forked)

    match kind:
        case "raw-socket":
            scene.close(actor, ask("socket", AF_INET, SOCK_RAW, 1))
        case "raw6-socket":
            scene.close(actor, ask("socket", AF_INET6, SOCK_RAW, 58))
        case "packet-socket":
            scene.close(actor, ask("socket", AF_PACKET, SOCK_RAW, 0))
        case "netlink":
            scene.close(actor, ask("socket", AF_NETLINK, SOCK_RAW, 0))
        case "vsock":
            scene.close(actor, ask("socket", AF_VSOCK, STREAM, 0))
        case "alg":
            scene.close(actor, ask("socket", AF_ALG, 5, 0))
        case "other-socket":
            scene.close(actor, ask("socket", AF_XDP, SOCK_RAW, 0))
        case "bpf":
            place = script.space(16)
            scene.ask(actor, kind, "bpf", 11, place, 16, asked=asked, natural=natural)
        case "perf":
            attributes = script.data(struct.pack("<IIQ", 1, 64, 0) + bytes(48))
            scene.close(
                actor,
                scene.ask(
                    actor, kind, "perf_event_open", attributes, 0, -1, -1, 0, asked=asked, natural=natural
                ),
            )
        case "userns" if not jailed:
            ask("unshare", 0x10000000, forked=True)
        case "chroot":
            ask("chroot", b"/", forked=True)
        case "settime":
            now = script.space(16)
            scene.also(actor, "clock_gettime", 0, now)
            scene.ask(actor, kind, "clock_settime", 0, now, asked=asked, natural=natural)
        case "syslog":
            ask("syslog", 9, b"", 0)
        case "mount" if not jailed:
            done = ask("mount", b"agree", mount_point, b"tmpfs", 0, 0)
            scene.also(actor, "umount2", mount_point, 2, only_if=done)
            if ACTORS[actor - 1].name not in world.PRIVATE:
                scene.also(0, "umount2", mount_point, 2, only_if=done)
        case "umount" if not jailed and ACTORS[actor - 1].name not in world.PRIVATE:
            scene.also(0, "mount", b"agree", mount_point, b"tmpfs", 0, 0)
            done = ask("umount2", mount_point, 0)
            scene.script.do(0, SYS["umount2"], mount_point, 2, unless=done)


def toward(scene: Scene, actor: int) -> None:
    """Something done to another process."""
    rng = scene.rng
    other = rng.randrange(1, len(ACTORS) + 1)
    mine, theirs = ACTORS[actor - 1].identity, ACTORS[other - 1].identity
    kin = other == actor or (mine is not None and mine == theirs)
    kind = rng.choice(("kill", "kill", "nice", "trace"))
    word, operation = {
        "kill": (Special.KILL, Operation.KILL),
        "nice": (Special.SCHEDULE_OTHERS, Operation.SETNICE),
        "trace": (Special.PTRACE, Operation.PTRACE),
    }[kind]

    def asked(view: View) -> Iterator[Step]:
        if kin and (kind != "trace"):
            return
        verdict = view.operations(actor).special(word, theirs or 0)
        yield Step(verdict, operation, None, errno.EPERM)

    what = f"{kind} {ACTORS[other - 1].name}"
    pid = scene.pids[other]
    if kind == "kill":
        scene.ask(actor, what, "kill", pid, 0, asked=asked)
    elif kind == "nice":
        scene.ask(actor, what, "setpriority", 0, pid, 0, asked=asked)
    elif kind == "trace" and other != actor:
        buffer = scene.script.space(16)
        vector = scene.script.data(struct.pack("<QQ", 0, 8))
        scene.script.do(actor, POKE, vector, buffer)
        remote = scene.script.data(struct.pack("<QQ", 0x600000000000, 8))
        scene.ask(actor, what, "process_vm_readv", pid, vector, 1, remote, 1, 0, asked=asked)


__all__ = ["network", "special", "toward", "unix_connect", "unix_listen"]
