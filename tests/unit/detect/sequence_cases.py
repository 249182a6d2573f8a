"""For each shipped sequence a stream that matches and a benign twin that does not.

Data for test_sequence_library.py. A stream is a list of events, a second apart: the name of a rule whose
first case it is (library_cases.py), and what is different about it. All are of one session and one process,
if not said otherwise.
"""

from __future__ import annotations

from typing import Any, Final

Told = tuple[str, dict[str, Any]]
Stream = list[Told]


def a(rule: str, **different: Any) -> Told:
    """An event that the rule matches."""
    return rule, different


PORTS: Final = [a("internal-connect", port=port) for port in (22, 445, 6379)]
ONE_PORT: Final = [a("internal-connect", port=8443) for _ in range(9)]
CHILD: Final = {"pid": 501, "ppid": 500, "parent": b"/usr/bin/python3.11"}
PAUSE: Final = "pause"
"""Stands for an hour in which nothing happens."""

TOOL: Final = {"inode": 70, "device": 8 << 20}
DROPPED: Final = [
    a("temp-write", path=b"/tmp/tool", exe=b"/usr/bin/curl", **TOOL),
    a("temp-made-executable", path=b"/tmp/tool", exe=b"/usr/bin/chmod", **TOOL),
]
RUN: Final = a("exec-from-temp", exe=b"/tmp/tool", path=b"/tmp/tool", **TOOL)
CONFIGURATION: Final = [
    a("config-read", path=path)
    for path in (b"/etc/nginx/nginx.conf", b"/etc/ssh/sshd_config", b"/etc/redis/redis.conf")
]
LOOKS: Final = [a("accounts-read"), a("host-facts-read"), a("process-list-read")]

STORIES: Final[dict[str, tuple[Stream, Stream]]] = {
    "download-run-scan": (
        # whatever the programs are called, and with other work in between
        [DROPPED[0], a("accounts-read"), DROPPED[1], RUN, PORTS[0], a("cron-write"), *PORTS[1:]],
        # an administrator's installer: downloaded, run, and it talks to its one service
        [*DROPPED, RUN, *ONE_PORT],
    ),
    "written-file-scans": (
        # by two sessions, hours apart
        [*DROPPED, (PAUSE, {}), *(("exec-from-temp", {**RUN[1], "session": 8, "pid": 600}),),
         *(a("internal-connect", port=port, session=8, pid=600) for port in (22, 445, 6379))],
        # what runs and connects is another program, which watches services
        [*DROPPED, a("web-service-child", exe=b"/usr/bin/probe", parent=b"/usr/sbin/cron", inode=71, pid=600),
         *(a("internal-connect", port=port, pid=600) for port in (22, 445, 6379))],
    ),
    "nameless-program-calls-home": (
        [a("memfd-created"), a("exec-nameless", **CHILD), a("outbound-connect", pid=501)],
        # a browser's shared memory, and then the network
        [a("memfd-created"), a("outbound-connect"), a("outbound-connect", port=80)],
    ),
    "web-service-looks-around": (
        # by different children of the one service
        [a("web-service-child", pid=501), a("accounts-read", pid=501), a("web-service-child", pid=502),
         a("host-facts-read", pid=502), a("process-list-read", pid=503), a("outbound-connect", pid=504)],
        # it converts an image, which asks who it is
        [a("web-service-child"), a("accounts-read"), a("accounts-read"), a("outbound-connect")],
    ),
    "configuration-then-login": (
        [*CONFIGURATION, a("known-hosts-read"), a("ssh-outbound")],
        # an administrator who reads one configuration and logs in elsewhere
        [*CONFIGURATION[:1] * 5, a("known-hosts-read"), a("ssh-outbound")],
    ),
    "secrets-collected-and-sent": (
        [a("private-key-read"), a("cloud-credentials-read"), a("archive-in-temp"), a("outbound-connect")],
        # ssh reads one key and connects; a backup is packed
        [a("private-key-read"), a("private-key-read"), a("archive-in-temp"), a("outbound-connect")],
    ),
    "memory-read-and-sent": (
        [a("process-traced"), a("process-memory-read"), a("internal-connect")],
        # a debugger
        [a("process-traced"), a("process-memory-read"), a("process-memory-read")],
    ),
    "temporary-program-settles": (
        # its child does it
        [RUN, a("shell-spawned", **CHILD), a("cron-write", pid=501)],
        # an administrator edits a crontab while a test runs from /tmp
        [RUN, a("cron-write", pid=900), a("unit-write", pid=900)],
    ),
    "container-reaches-the-host": (
        [a("container-socket-connect"), a("disk-write")],
        # an administrator lists containers; the system loads a module in its own session
        [a("container-socket-connect"), a("module-loaded", session=1)],
    ),
    "root-and-no-traces": (
        [a("became-root-in-session"), a("authorized-keys-write"), a("log-emptied")],
        # logrotate and an administrator with sudo
        [a("authorized-keys-write"), a("log-emptied"), a("history-removed")],
    ),
    "files-are-encrypted": (
        # by a script whose every step is a program of its own
        [*(a("encrypted-name", path2=b"/srv/%d.locked" % n, pid=500 + n) for n in range(10)),
         a("ransom-note")],
        # somebody encrypts one backup a night
        [a("encrypted-name", path2=b"/srv/a.locked"), a("ransom-note")],
    ),
}  # fmt: skip
