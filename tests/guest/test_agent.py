"""The agent on real kernels: it starts, applies, tells of denials, dies, comes back, and is turned off."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from tests.guest.guest import Guest

SSH = """\
apiVersion: menshen/v1
kind: Protection
metadata: {name: sshd-config}
spec:
  objects: ["/etc/ssh/**"]
  operations: [write, create, delete, rename, link, attributes]
  only: [{identity: os/openssh-server}]
  mode: enforce
"""
WRITE = "echo x >>/etc/ssh/sshd_config"
DENIED = "Permission denied"

SCRIPT = """\
#!/bin/bash
# A business program of the test: runs what it is told.
"$@"
"""
CONFINED = """\
apiVersion: menshen/v1
kind: Policy
metadata: {name: payments-api}
spec:
  subject: {identity: payments/api}
  mode: enforce
  files:
    - {allow: [read, write, create, delete, ioctl], paths: ["/**"]}
    - {deny: [read], paths: ["/srv/secret"]}
  exec:
    - {paths: ["/usr/bin/*", "/opt/menshen/bin/*"], as: self}
  network:
    - {allow: connect, to: {unix: "/run/menshen/api.sock"}}
  jit: true
  special: {allow: [setid, io-uring, userfaultfd]}
"""


SERVER = """\
import socket
server = socket.create_server(("127.0.0.1", 4711))
print("listening", flush=True)
peer, _ = server.accept()
print("connected", flush=True)
while peer.recv(100):
    pass
print("gone", flush=True)
"""


def events(guest: Guest, *arguments: str) -> list[dict[str, Any]]:
    shown = guest.run(["menshen", "events", "-o", "json", "-n", "0", *arguments])
    return [json.loads(line) for line in shown.stdout.splitlines()]


def wait(guest: Guest, command: str, seconds: float = 120) -> None:
    """Until the command succeeds."""
    deadline = time.monotonic() + seconds
    while guest.run(command, check=False).status:
        assert time.monotonic() < deadline, guest.run("journalctl -u menshen -o cat | tail -30").stdout
        time.sleep(0.3)


def status(guest: Guest) -> dict[str, Any]:
    shown = guest.run(["menshen", "status", "-o", "json"], check=False)
    found: dict[str, Any] = json.loads(shown.stdout)
    return found


@pytest.fixture(scope="module")
def enforcing(module_guest: Guest) -> Guest:
    """A guest with its programs enrolled, the agent running, and one protection in force."""
    guest = module_guest
    guest.run("mkdir -p /opt/pay /srv /root/p && echo secret >/srv/secret")
    guest.put("/opt/pay/api", SCRIPT.encode(), 0o755)
    guest.put("/root/p/ssh.yaml", SSH.encode(), 0o644)
    guest.run("menshen enrol-self --service", timeout=300)
    guest.run("menshen identity enrol --packages", timeout=600)
    guest.run("menshen identity enrol --as payments/api /opt/pay/api", timeout=300)
    # A restored guest's monotonic clock jumps ahead by what ran since (QEMU's counter never goes back), which
    # a watchdog takes for a hang.
    guest.put("/etc/systemd/system/menshen.service.d/clock.conf", b"[Service]\nWatchdogSec=0\n", 0o644)
    guest.run("systemctl daemon-reload && systemctl start menshen", timeout=600)
    guest.run("menshen policy apply /root/p/ssh.yaml", timeout=300)
    guest.snapshot("enforcing")
    return guest


@pytest.fixture
def host(enforcing: Guest) -> Guest:
    enforcing.restore("enforcing")
    return enforcing


def test_a_denial_is_seen_explained_and_counted(host: Guest) -> None:
    refused = host.run(WRITE, check=False)
    assert refused.status != 0
    assert DENIED in refused.stderr
    denial = events(host, "--kind", "denial")[-1]
    assert (denial["operation"], denial["path"]) == ("open", "/etc/ssh/sshd_config")
    assert (denial["rule_name"], denial["rule_place"]) == ("sshd-config", "ssh.yaml:5")
    assert denial["subject"] == "os/dash"
    line = host.run("menshen events --kind denial").stdout
    assert (
        f"DENY  os/dash open append /etc/ssh/sshd_config  rule sshd-config (ssh.yaml:5)  #{denial['id']}"
        in line
    )
    why = host.run(["menshen", "why", str(denial["id"])]).stdout
    assert 'objects: ["/etc/ssh/**"]' in why
    assert "- {identity: os/dash}" in why
    assert status(host)["counters"]["denied"] == "1"
    assert json.loads(host.get("/var/log/menshen/denials.jsonl").splitlines()[-1]) == denial


def test_following_shows_a_denial_as_it_happens(host: Guest) -> None:
    follower = host.popen("menshen events -f --kind denial -n 0")
    wait(host, "pgrep -f 'menshen events -f'")
    time.sleep(3)
    host.run(WRITE, check=False)
    shown = b""
    for _, data in follower.events():
        shown += data
        if b"\n" in shown:
            break
    follower.signal(2)
    assert b"rule sshd-config (ssh.yaml:5)" in shown


def test_kill_9_of_the_agent_leaves_enforcement_on_and_its_restart_takes_over_without_a_gap(
    host: Guest,
) -> None:
    before = status(host)
    # Tries all the time, through death and return, and writes down what became of each try.
    host.run(
        "nohup sh -c 'while :; do if echo x 2>/dev/null >>/etc/ssh/sshd_config; then echo written; "
        "else echo denied; fi; done' >/tmp/tries 2>&1 </dev/null & echo $! >/tmp/trier"
    )
    old = host.run("systemctl show -p MainPID --value menshen").stdout.strip()
    host.run("systemctl kill --kill-who=main -s KILL menshen")
    wait(host, f"! test -e /proc/{old}")
    assert host.run(WRITE, check=False).status != 0
    wait(host, "menshen policy list")
    after = status(host)
    assert (after["generation"], after["hash"]) == (before["generation"], before["hash"])
    assert host.run("systemctl show -p MainPID --value menshen").stdout.strip() != old
    host.run("kill $(cat /tmp/trier)")
    tries = host.run("sort /tmp/tries | uniq -c").stdout.split()
    assert tries[1::2] == ["denied"]
    assert int(tries[0]) > 10
    # Events of the time without an agent waited in the ring.
    assert int(after["counters"]["denied"]) > int(before["counters"]["denied"])
    assert host.run(WRITE, check=False).status != 0
    wait(host, "menshen events --kind denial -n 0 | grep -q .")


def test_a_faulty_policy_is_refused_and_the_old_one_stays(host: Guest) -> None:
    before = status(host)
    host.put(
        "/root/p/bad.yaml", SSH.replace("sshd-config", "other").replace("write", "wriet").encode(), 0o644
    )
    refused = host.run("menshen policy apply /root/p/bad.yaml", check=False)
    assert refused.status == 1
    assert "bad.yaml:6:16: " in refused.stderr
    assert "did you mean write?" in refused.stderr
    assert status(host)["generation"] == before["generation"]
    assert host.run(WRITE, check=False).status != 0


def test_a_policy_that_would_lock_out_sshd_is_refused(host: Guest) -> None:
    text = CONFINED.replace("payments/api", "os/openssh-server").replace("payments-api", "sshd")
    host.put("/root/p/sshd.yaml", text.encode(), 0o644)
    refused = host.run("menshen policy apply /root/p/sshd.yaml", check=False)
    assert refused.status == 1
    assert "nobody could log in any more" in refused.stderr


def test_root_inside_a_confined_program_cannot_turn_it_off_or_change_policies(host: Guest) -> None:
    host.put("/root/p/pay.yaml", CONFINED.encode(), 0o644)
    host.run("menshen policy apply /root/p/pay.yaml")
    assert host.run("/opt/pay/api cat /etc/hostname").stdout == "guest\n"
    secret = host.run("/opt/pay/api cat /srv/secret", check=False)
    assert DENIED in secret.stderr
    for command in ("off --reason mine", "policy apply /root/p/ssh.yaml", "reload"):
        refused = host.run(f"/opt/pay/api menshen {command}", check=False)
        assert refused.status != 0
        assert "payments/api, which an enforced policy confines" in refused.stderr
    assert host.run(WRITE, check=False).status != 0


def test_what_a_tightened_policy_no_longer_allows_is_found_and_closed_on_request(host: Guest) -> None:
    loose = CONFINED.replace("network:\n", "network:\n    - {allow: connect, to: {cidr: 127.0.0.0/8}}\n")
    tight = CONFINED.replace('["/srv/secret"]', '["/srv/secret", "/srv/held"]')
    host.put("/root/p/pay.yaml", loose.encode(), 0o644)
    assert "held already" not in host.run("menshen policy apply /root/p/pay.yaml").stdout
    host.put("/root/serve.py", SERVER.encode(), 0o644)
    host.run("echo x >/srv/held && (setsid python3 /root/serve.py </dev/null >/tmp/served 2>&1 &)")
    wait(host, "test -s /tmp/served")
    holding = "exec 7</srv/held 8<>/dev/tcp/127.0.0.1/4711 9</etc/hostname; touch /tmp/up; exec sleep 1000"
    host.run(f"(setsid /opt/pay/api bash -c '{holding}' </dev/null >/dev/null 2>&1 &)")
    wait(host, "test -e /tmp/up")

    host.put("/root/p/pay.yaml", tight.encode(), 0o644)
    began = time.monotonic()
    assert "2 held already that are not allowed" in host.run("menshen policy apply /root/p/pay.yaml").stdout
    print(f"applied in {time.monotonic() - began:.1f} s")
    held = json.loads(host.run("menshen held -o json").stdout)
    pid = held[0]["pid"]
    assert [(one["subject"], one["pid"], one["descriptor"], one["right"], one["mode"]) for one in held] == [
        ("payments/api", pid, 7, "read", "enforce"),
        ("payments/api", pid, 8, "connect", "enforce"),
    ]
    assert (held[0]["path"], held[0]["rule_place"]) == ("/srv/held", "pay.yaml:9")
    assert (held[1]["address"], held[1]["port"]) == ("127.0.0.1", 4711)

    assert "gone" not in host.run("cat /tmp/served").stdout
    closed = host.run("menshen held --close").stdout
    assert "shut" in closed
    assert "left: a file cannot be taken away" in closed
    wait(host, "grep -q gone /tmp/served", 10)
    left = json.loads(host.run("menshen held -o json").stdout)
    assert [one["descriptor"] for one in left] == [7]
    assert "ended by SIGTERM" in host.run(f"menshen held --end --pid {pid}").stdout
    assert "nothing is held" in host.run("menshen held").stdout
    assert host.run(f"test -e /proc/{pid}", check=False).status == 1


def test_an_exec_does_not_carry_into_another_subject_what_that_one_may_not_open(host: Guest) -> None:
    host.put("/root/p/pay.yaml", CONFINED.encode(), 0o644)
    host.run("menshen policy apply /root/p/pay.yaml")
    run = "exec /opt/pay/api cat /etc/hostname"
    for carried in ("7</srv/secret", "7<>/srv/secret", "200</srv/secret 7</etc/hostname"):
        refused = host.run(["bash", "-c", f"exec {carried}; {run}"], check=False)
        assert DENIED in refused.stderr, carried
    denial = events(host, "--kind", "denial")[-1]
    assert (denial["operation"], denial["path"], denial["subject"]) == (
        "inherit",
        "/srv/secret",
        "payments/api",
    )
    assert (denial["detail_words"], denial["rule_place"]) == ("descriptor 200", "pay.yaml:9")
    # What it may open, what has no path, what the caller chose for it, and what another exec closes.
    for carried in (
        "7</etc/hostname",
        "7</proc/self/status",
        "7< <(cat /srv/secret)",
        "0</srv/secret",
        "3<&0",
    ):
        assert host.run(["bash", "-c", f"exec {carried}; {run}"]).stdout == "guest\n", carried
    host.put("/root/p/pay.yaml", CONFINED.replace("enforce", "audit").encode(), 0o644)
    host.run("menshen policy apply /root/p/pay.yaml")
    assert host.run(["bash", "-c", f"exec 7</srv/secret; {run}"]).stdout == "guest\n"
    assert "inherit" in {one["operation"] for one in events(host, "--kind", "would-deny")}


def test_another_name_that_a_protected_file_had_before_is_protected_too(host: Guest) -> None:
    host.run(
        "mkdir /root/x && echo old >/root/x/file && ln /root/x/file /root/elsewhere; echo y >>/root/elsewhere"
    )
    text = SSH.replace("sshd-config", "x").replace("/etc/ssh/**", "/root/x/**")
    host.put("/root/p/x.yaml", text.encode(), 0o644)
    host.run("menshen policy apply /root/p/x.yaml")
    refused = host.run("echo z >>/root/elsewhere", check=False)
    assert DENIED in refused.stderr


def test_the_agents_own_search_for_other_names_is_not_hindered_by_a_protection_of_read(host: Guest) -> None:
    host.run("mkdir /root/x && echo old >/root/x/file && ln /root/x/file /root/elsewhere")
    text = SSH.replace("sshd-config", "x").replace("/etc/ssh/**", "/root/x/**")
    text = re.sub(r"operations: .*", "operations: [read]", text)
    host.put("/root/p/x.yaml", text)
    host.run("menshen policy apply /root/p/x.yaml")
    assert DENIED in host.run("ls /root/x", check=False).stderr
    # The search for the next image is made while this one is in force.
    host.put("/root/p/y.yaml", SSH.replace("sshd-config", "y").replace("/etc/ssh/**", "/root/y/**"))
    host.run("menshen policy apply /root/p/y.yaml")
    assert DENIED in host.run("cat /root/elsewhere", check=False).stderr


def test_the_agents_pins_and_process_are_kept_from_root(host: Guest) -> None:
    pid = host.run("systemctl show -p MainPID --value menshen").stdout.strip()
    compiler = host.run(f"cat /proc/{pid}/task/{pid}/children").stdout.strip()
    assert compiler.isdigit()
    kills = (f"kill -9 {pid}", f"kill -9 {compiler}")
    for command in (*kills, "rm -r /sys/fs/bpf/menshen", "umount /sys/fs/bpf"):
        assert host.run(command, check=False).status != 0, command
    assert host.run(f"kill -0 {pid}").status == 0
    assert host.run(WRITE, check=False).status != 0


def test_process_1_gives_services_their_credentials_under_the_guard(host: Guest) -> None:
    """systemd up to 254 moves a mount for that, with mounts shared; nobody else may."""
    host.run("systemctl restart systemd-sysctl")
    host.run("mkdir -p /mnt/a /mnt/b && mount -t tmpfs none /mnt/a && mount --make-private /")
    assert host.run("mount --move /mnt/a /mnt/b", check=False).status != 0


def test_off_ends_everything_is_logged_and_lasts_until_the_next_start(host: Guest) -> None:
    done = host.run(["menshen", "off", "--reason", "a test of the way out"])
    assert "nothing of it is left" in done.stdout
    assert host.run(WRITE).status == 0
    assert host.run("test -e /sys/fs/bpf/menshen", check=False).status != 0
    line = json.loads(host.get("/var/log/menshen/audit.jsonl").splitlines()[-1])
    assert (line["action"], line["reason"], line["identity"]) == (
        "off",
        "a test of the way out",
        "menshen/cli",
    )
    wait(host, "test $(systemctl show -p ActiveState --value menshen) = inactive")
    time.sleep(2)
    assert host.run("systemctl is-active menshen", check=False).stdout == "inactive\n"
    assert "systemctl start menshen" in host.run("menshen status", check=False).stderr
    host.run("systemctl start menshen", timeout=600)
    assert host.run(WRITE, check=False).status != 0


def test_a_bad_policy_at_boot_leaves_the_last_good_one_in_force(host: Guest) -> None:
    host.run("menshen off --reason 'to start anew'")
    wait(host, "test $(systemctl show -p ActiveState --value menshen) = inactive")
    host.put("/etc/menshen/policies/zzz.yaml", b"kind: Nonsense\n", 0o644)
    host.run("systemctl start menshen", timeout=600)
    assert host.run(WRITE, check=False).status != 0
    shown = host.run("menshen status", check=False)
    assert shown.status == 1
    assert "zzz.yaml:1:" in shown.stdout
    assert "last good image" in shown.stdout
    assert "zzz.yaml:1:" in host.run("journalctl -u menshen -o cat").stdout


def test_stopping_the_service_stops_the_agent_only(host: Guest) -> None:
    host.run("systemctl stop menshen", timeout=120)
    assert host.run("systemctl is-active menshen", check=False).stdout == "inactive\n"
    assert host.run(WRITE, check=False).status != 0
    host.run("systemctl start menshen", timeout=300)
    assert status(host)["mode"] == "enforcing"


def test_a_member_of_the_group_reads_and_nobody_else(host: Guest) -> None:
    host.run("useradd -G menshen reader && useradd stranger")
    assert host.run("runuser -u reader -- menshen status").stdout.startswith("mode")
    assert host.run("runuser -u stranger -- menshen status", check=False).status == 1
    refused = host.run("runuser -u reader -- menshen off --reason x", check=False)
    assert "may not change anything" in refused.stderr


def test_the_doctor_finds_this_host_well(host: Guest) -> None:
    shown = host.run("menshen doctor", check=False)
    assert "FAIL" not in shown.stdout, shown.stdout
    assert shown.status == 0
