"""The words of the stream of stream.py: programs, their arguments, files, and the weak signals among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bpf_lsm.observation import Type


@dataclass(frozen=True, slots=True)
class Service:
    """A process that was there before the watch and outlives it."""

    exe: bytes
    args: bytes
    uid: int = 0
    container: bool = False


SERVICES: Final = (
    Service(b"/usr/lib/systemd/systemd", b"/sbin/init"),
    Service(b"/usr/sbin/cron", b"/usr/sbin/cron\0-f"),
    Service(b"/usr/sbin/sshd", b"sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups"),
    Service(b"/opt/runner/bin/runner", b"/opt/runner/bin/runner\0--config\0/opt/runner/config.toml", 998),
    Service(b"/usr/bin/containerd-shim-runc-v2", b"containerd-shim-runc-v2\0-namespace\0k8s.io"),
    Service(b"/usr/bin/unattended-upgrade", b"/usr/bin/python3\0/usr/bin/unattended-upgrade"),
    Service(b"/usr/sbin/nginx", b"nginx: master process /usr/sbin/nginx"),
    *(Service(b"/usr/sbin/nginx", b"nginx: worker process", 33) for _ in range(8)),
    *(Service(b"/usr/bin/python3.11", b"gunicorn\0-w\x004\0api:app", 1001, True) for _ in range(12)),
    *(
        Service(b"/usr/lib/jvm/java-17/bin/java", b"java\0-Xmx2g\0-jar\0/srv/ledger.jar", 1002)
        for _ in range(4)
    ),
    Service(b"/usr/lib/postgresql/15/bin/postgres", b"postgres\0-D\0/var/lib/postgresql/15/main", 114),
    Service(b"/usr/bin/redis-server", b"/usr/bin/redis-server 127.0.0.1:6379", 115),
    Service(b"/usr/sbin/rsyslogd", b"/usr/sbin/rsyslogd\0-n\0-iNONE"),
    Service(b"/usr/lib/systemd/systemd-journald", b"/lib/systemd/systemd-journald"),
    Service(b"/usr/bin/dockerd", b"/usr/bin/dockerd\0-H\0fd://"),
    Service(b"/usr/bin/kubelet", b"/usr/bin/kubelet\0--config=/var/lib/kubelet/config.yaml"),
)


@dataclass(frozen=True, slots=True)
class Job:
    """A kind of process tree: who begins it, what leads it, what it runs, and how often."""

    name: str
    parent: int
    """Place in SERVICES."""
    leader: tuple[bytes, bytes]
    programs: tuple[tuple[bytes, bytes], ...]
    weight: float
    uid: int = 0
    drivers: bool = False
    """Each third process runs the next two, as a compiler's driver does."""
    container: bool = False


def _tools(folder: bytes, names: bytes) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((folder + name, name) for name in names.split())


_TOOLS: Final = tuple((b"/usr/bin/tool%d" % number, b"tool%d\0--run" % number) for number in range(220))

JOBS: Final = (
    Job(
        "cron",
        1,
        (b"/usr/bin/dash", b"/bin/sh\0-c\0test -x /usr/sbin/job && /usr/sbin/job"),
        (
            *_tools(b"/usr/bin/", b"run-parts flock logrotate gzip date sed awk sort php8.2 stat mktemp rm"),
            *_TOOLS[:80],
        ),
        0.25,
    ),
    Job(
        "ssh",
        2,
        (b"/usr/bin/bash", b"-bash"),
        (
            *_tools(
                b"/usr/bin/", b"ls cat grep vim git less tail systemctl journalctl diff cp mv mkdir make ssh"
            ),
            *_TOOLS[80:160],
        ),
        0.1,
        1000,
    ),
    Job(
        "build",
        3,
        (b"/usr/bin/make", b"make\0-j2\0all"),
        (
            (b"/usr/bin/x86_64-linux-gnu-gcc-12", b"gcc\0-O2\0-c"),
            (b"/usr/lib/gcc/x86_64-linux-gnu/12/cc1", b"cc1\0-quiet\0-O2"),
            (b"/usr/bin/x86_64-linux-gnu-as", b"as\0--64\0-o"),
            (b"/usr/bin/x86_64-linux-gnu-ld.bfd", b"ld\0-o"),
            *_tools(b"/usr/bin/", b"ar ranlib install touch rm cmp"),
        ),
        0.4,
        998,
        drivers=True,
    ),
    Job(
        "pod",
        4,
        (b"/app/entrypoint", b"/app/entrypoint\0serve"),
        (*_tools(b"/app/bin/", b"worker probe migrate render thumbnail"), *_TOOLS[160:]),
        0.2,
        1001,
        container=True,
    ),
    Job(
        "package",
        5,
        (b"/usr/bin/dpkg", b"dpkg\0--status-fd\x0012\0--unpack"),
        _tools(b"/usr/bin/", b"dpkg-deb dpkg-split tar xz rm dpkg-query dpkg-trigger ldconfig"),
        0.05,
    ),
)

FOLDERS: Final = (
    b"/var/log/app/",
    b"/var/lib/postgresql/15/main/base/16384/",
    b"/srv/build/out/",
    b"/srv/build/src/lib/",
    b"/var/cache/app/",
    b"/home/dev/project/",
    b"/var/spool/app/",
    b"/run/app/",
    b"/usr/share/app/",
    b"/var/lib/docker/overlay2/5f1c/diff/data/",
)
"""Where the ordinary files are."""

SOCKETS: Final = (b"/run/systemd/journal/socket", b"/run/postgresql/.s.PGSQL.5432", b"/run/redis/redis.sock")


@dataclass(frozen=True, slots=True)
class Signal:
    """An event that a rule is written for."""

    type: Type
    path: bytes = b""
    detail: int = 0
    address: bytes = b""
    port: int = 0
    fresh: bool = False
    """A number is added to the path each time."""


SIGNALS: Final = (
    Signal(Type.FILE_WRITE, b"/tmp/.cache-", 0o1101, fresh=True),
    Signal(Type.FILE_WRITE, b"/tmp/payload", 0o1101),
    Signal(Type.FILE_WRITE, b"/dev/shm/stage", 0o1101),
    Signal(Type.FILE_WRITE, b"/var/tmp/update", 0o1101),
    Signal(Type.FILE_CHMOD, b"/tmp/payload", 0o100755),
    Signal(Type.FILE_CHMOD, b"/home/dev/bin/tool", 0o104755),
    Signal(Type.CONNECT, detail=1, address=bytes([93, 184, 216, 34]), port=443),
    Signal(Type.CONNECT, detail=1, address=bytes([45, 9, 20, 7]), port=4444),
    Signal(Type.CONNECT, detail=1, address=bytes([10, 3, 0, 7]), port=6379),
    Signal(Type.CONNECT, detail=1, address=bytes([10, 3, 0, 8]), port=22),
    Signal(Type.CONNECT, detail=1, address=bytes([192, 168, 4, 2]), port=445),
    Signal(Type.FILE_OPEN, b"/etc/shadow"),
    Signal(Type.FILE_OPEN, b"/home/dev/.ssh/known_hosts"),
    Signal(Type.FILE_OPEN, b"/root/.ssh/id_ed25519"),
    Signal(Type.FILE_OPEN, b"/etc/ssh/sshd_config"),
    Signal(Type.FILE_OPEN, b"/proc/1/environ"),
    Signal(Type.FILE_WRITE, b"/etc/cron.d/app", 0o1101),
    Signal(Type.FILE_WRITE, b"/home/dev/.ssh/authorized_keys", 0o2001),
    Signal(Type.FILE_DELETE, b"/var/log/auth.log"),
    Signal(Type.MEMFD, b"loader"),
    Signal(Type.PTRACE, detail=2),
    Signal(Type.RAW_SOCKET, detail=2 << 16 | 3),
    Signal(Type.MODULE, b"rk", 1),
    Signal(Type.BPF, detail=5),
)
"""In the order of how often they come."""
