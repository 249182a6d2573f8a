"""Shell commands of root. $P is the agent, $U its control group, $F its unit; `call` is calls.py."""

from __future__ import annotations

from typing import Final

PINS = "/sys/fs/bpf/menshen"
UNIT = "/etc/systemd/system/menshen.service"
PRIVATE = "unshare -m --propagation private sh -c"
SAME_GROUP = "unshare -m --propagation unchanged sh -c"

HELD: Final[dict[str, str]] = {
    # pins
    "unpin a link": f"rm {PINS}/links/file_open",
    "unpin everything": f"rm -rf {PINS}",
    "unpin a map": f"rm {PINS}/maps/control",
    "rename the folder": f"mv {PINS} /sys/fs/bpf/elsewhere",
    "rename a folder inside": f"mv {PINS}/links {PINS}/hidden",
    "rename one pin over another": f"mv -f {PINS}/links/file_open {PINS}/links/task_kill",
    "exchange the folder": f"mkdir -p /sys/fs/bpf/o; call exchange {PINS} /sys/fs/bpf/o",
    "make a folder among the pins": f"mkdir {PINS}/mine",
    "open the pins to everybody": f"chmod 777 {PINS}",
    "give the pins away": f"chown nobody {PINS}/links",
    "unpin under a bind mount": "mkdir -p /mnt/b; mount --bind /sys/fs/bpf /mnt/b; rm -rf /mnt/b/menshen",
    "unpin through /proc/self/root": f"rm -rf /proc/self/root{PINS}",
    "unpin from a chroot": f"chroot / rm -rf {PINS}",
    "unpin from a private namespace": f"{PRIVATE} 'rm -rf {PINS}'",
    "unpin where a private namespace moved it": (
        f"{PRIVATE} 'mkdir -p /mnt/m; mount --move /sys/fs/bpf /mnt/m; rm -rf /mnt/m/menshen'"
    ),
    "unpin from a namespace that moved /sys": (
        f"{PRIVATE} 'mkdir -p /mnt/m; mount --move /sys /mnt/m; rm -rf /mnt/m/fs/bpf/menshen'"
    ),
    # mounts
    "unmount the bpffs": "umount /sys/fs/bpf",
    "unmount the bpffs lazily": "umount -l /sys/fs/bpf",
    "unmount the bpffs by force": "umount -f /sys/fs/bpf",
    "unmount /sys lazily": "umount -l /sys",
    "move the bpffs": "mkdir -p /mnt/x; mount --make-rprivate /; mount --move /sys/fs/bpf /mnt/x",
    "move /sys": "mkdir -p /mnt/x; mount --move /sys /mnt/x",
    "move the bpffs by move_mount": "mkdir -p /mnt/x; call move_mount /sys/fs/bpf /mnt/x",
    "move /sys by move_mount": "mkdir -p /mnt/x; call move_mount /sys /mnt/x",
    "mount over the bpffs": "mount -t tmpfs none /sys/fs/bpf",
    "mount over /sys": "mount -t tmpfs none /sys",
    "bind over the pins": f"mount --bind /srv {PINS}",
    "bind over a pin": f"mount --bind /etc/hostname {PINS}/links/file_open",
    "mount over the bpffs by the new calls": "call mount_new /sys/fs/bpf",
    "attach a clone over the bpffs": "call mount_clone /srv /sys/fs/bpf",
    "unmount a copy of /sys that propagates": (
        "mkdir -p /mnt/y; mount --make-rshared /; mount --rbind /sys /mnt/y; umount -l /mnt/y"
    ),
    "unmount what holds a copy of /sys": (
        "mkdir -p /mnt/t; mount -t tmpfs none /mnt/t; mkdir /mnt/t/s; mount --make-rshared /; "
        "mount --rbind /sys /mnt/t/s; umount -l /mnt/t"
    ),
    "unmount /sys from a namespace that propagates": (
        f"mount --make-rshared /; {SAME_GROUP} 'umount -l /sys'"
    ),
    "unmount a shared /sys under a private root": (
        f"mount --make-rshared /; {SAME_GROUP} 'mount --make-private /; umount -l /sys'"
    ),
    "pivot_root": (
        "mkdir -p /mnt/r; mount -t tmpfs none /mnt/r; mkdir /mnt/r/old; call pivot_root /mnt/r /mnt/r/old"
    ),
    # programs, maps and links
    "take maps by their ids": "call by_id map",
    "take programs by their ids": "call by_id program",
    "take links by their ids": "call by_id link",
    "open the switches": f"call open_pin {PINS}/maps/control",
    "open the labels": f"call open_pin {PINS}/maps/labels",
    "open a program": f"call open_pin {PINS}/programs/claim",
    # the agent's process
    "kill it": "kill -9 $P",
    "terminate it": "kill -TERM $P",
    "stop it": "kill -STOP $P",
    "kill its process group": "kill -9 -- -$P",
    "kill a thread of it": "call tgkill $P",
    "kill it by a pidfd": "call pidfd_kill $P",
    "attach to it": "call ptrace $P",
    "seize it": "call seize $P",
    "write its memory": "call write_memory $P",
    "open its memory for writing": ": 3<>/proc/$P/mem",
    "open its memory for reading": "head -c 1 /proc/$P/mem",
    "make it the first to die": "echo 1000 >/proc/$P/oom_score_adj",
    "make its thread the first to die": "echo 1000 >/proc/$P/task/$P/oom_score_adj",
    "have its pages counted anew": "echo 1 >/proc/$P/clear_refs",
    "take its descriptors": "call pidfd_getfd $P",
    "limit its files": "prlimit --pid $P --nofile=3:3",
    "limit its processor time": "prlimit --pid $P --cpu=1:1",
    "renice it": "renice 19 $P",
    "schedule it when idle only": "chrt -i -p 0 $P",
    "bind it to one processor": "taskset -p 1 $P",
    "have it read last": "ionice -c 3 -p $P",
    "attach to process 1": "call ptrace 1",
    "write process 1's memory": "call write_memory 1",
    "attach to what process 1 forked": (
        "systemd-run -q --unit=session -p PAMName=login -p User=root sleep 60; sleep 2; "
        "call ptrace $(pgrep -o sd-pam)"
    ),
    "kill its control group": "echo 1 >$U/cgroup.kill",
    "freeze its control group": "echo 1 >$U/cgroup.freeze",
    "freeze all services": "echo 1 >/sys/fs/cgroup/system.slice/cgroup.freeze",
    "kill all services": "echo 1 >/sys/fs/cgroup/system.slice/cgroup.kill",
    "have process 1 freeze it": "timeout 20 systemctl freeze menshen",
    # becoming the agent
    "start the agent": "/opt/menshen/bin/menshen-agent",
    "start the agent with a library": "LD_PRELOAD=/srv/mine.so /opt/menshen/bin/menshen-agent",
    "start a copy of the agent": "cp /opt/menshen/bin/menshen-agent /srv/agent; /srv/agent",
    "start the agent in its control group": "echo $$ >$U/cgroup.procs; exec /opt/menshen/bin/menshen-agent",
    "start the agent as an orphan in its control group": (
        "(setsid sh -c 'sleep 1; echo $$ >$U/cgroup.procs; exec /opt/menshen/bin/menshen-agent' &); sleep 3"
    ),
    "have process 1 start the agent elsewhere": "systemd-run --wait -q /opt/menshen/bin/menshen-agent",
    "run the agent's module": "/opt/menshen/bin/python -I -c 'from bpf_lsm.gate import Gate; Gate.adopt()'",
    # files
    "alter the agent's program": "echo >>/opt/menshen/bin/menshen-agent",
    "replace the agent's program": "cp /bin/true /tmp/t; mv /tmp/t /opt/menshen/bin/menshen-agent",
    "alter a module": "echo >>/opt/menshen/lib/python3*/site-packages/enforcer/agent/run.py",
    "add a module": "touch /opt/menshen/lib/python3.11/site-packages/sitecustomize.py",
    "replace the environment": "mv /opt/menshen /opt/former",
    "replace its parent": "mv /opt /former",
    "mount over the environment": "mount -t tmpfs none /opt/menshen",
    "alter the unit": "echo >>$F",
    "remove the unit": "rm $F",
    "mask the unit": "systemctl mask --runtime menshen",
    "add a drop-in": f"mkdir -p {UNIT}.d; echo '[Service]' >{UNIT}.d/x.conf",
    "add a drop-in for this boot": "mkdir -p /run/systemd/system/menshen.service.d",
    "have process 1 add a drop-in": "systemctl set-property --runtime menshen CPUWeight=1",
    "add a drop-in for all services": "mkdir -p /etc/systemd/system/service.d",
    "mount over the unit": "mount --bind /dev/null $F",
    "link to the unit": "ln $F /etc/systemd/system/mine",
    "alter the catalogue": "echo >>/var/lib/menshen/catalogue",
    "alter a policy": "echo >>/etc/menshen/policies/ssh.yaml",
    "add a trust root": "touch /etc/menshen/trust/mine.yaml",
    "write the settings": "echo 'guard: false' >/etc/menshen/agent.yaml",
    "replace the settings' folder": "mv /etc/menshen /etc/former",
    "remove the socket": "rm /run/menshen/api.sock",
    "take the socket's place": "mv /run/menshen/api.sock /run/menshen/api.real",
    "close the socket to others": "chmod 0 /run/menshen/api.sock",
    "empty the log": "truncate -s 0 /var/log/menshen/denials.jsonl",
    "remove the audit log": "rm /var/log/menshen/audit.jsonl",
    "remove the logs' folder": "rm -rf /var/log/menshen",
    "rename the logs' parent": "mv /var/log /var/former",
}
"""Each is refused, and told: a record by the guard or one of its Protections."""

HARMLESS: Final[dict[str, str]] = {
    "open a link": f"call open_pin {PINS}/links/file_open",
    "detach a link": f"call detach {PINS}/links/file_open",
    "put another program in its place": f"call replace {PINS}/links/file_open",
    "unmount everything in a private namespace": f"{PRIVATE} 'umount -l /sys'",
    "leave a private namespace behind": f"{PRIVATE} 'mount -t tmpfs none /sys/fs/bpf'",
    "clone and drop /sys": "call clone_and_drop /sys",
    "load another gate": "call another_gate",
    "kill it through process 1": "systemctl kill --kill-who=main -s KILL menshen; sleep 3",
    "stop the unit": "systemctl stop menshen; sleep 1; systemctl start menshen",
    "multiply the mounts of the root": (
        "mkdir -p /mnt/d; mount --bind / /mnt/d; mount --make-shared /mnt/d; "
        "for i in $(seq 14); do mount --bind /mnt/d /mnt/d; done; "
        "test $(grep -c /mnt/d /proc/self/mountinfo) -gt 16000 && echo multiplied"
    ),
}
"""These are nobody's to refuse, and change nothing that is enforced."""

FREE: Final[dict[str, str]] = {
    "unmount the sysfs of a chroot": (
        "mkdir -p /srv/c/sys; mount -t sysfs none /srv/c/sys; umount /srv/c/sys && echo done"
    ),
    "unmount a copy of /sys without what is mounted on it": (
        "mkdir -p /srv/s; mount --bind /sys /srv/s; umount /srv/s && echo done"
    ),
    "move a sysfs": (
        "mkdir -p /srv/d/sys /srv/e; mount --make-rprivate /; mount -t sysfs none /srv/d/sys; "
        "call move_mount /srv/d/sys /srv/e && umount /srv/e && echo done"
    ),
}
"""These are no attempts: the pins are not below what is unmounted. They succeed, and nothing is told."""
