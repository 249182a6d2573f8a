"""Every limit has its decided outcome: rings and tables full, no memory, no room on disk, a clock that jumps,
an agent that is stopped. Enforcement goes on in each, and what was lost is counted exactly."""

from __future__ import annotations

import os

import pytest

from tests.guest.guest import Guest
from tests.guest.test_agent import CONFINED, DENIED, SCRIPT, SSH, WRITE, events, status, wait

pytestmark = [
    pytest.mark.timeout(1500),
    pytest.mark.skipif(
        not os.environ.get("MENSHEN_NIGHTLY"), reason="takes minutes: `make nightly`, or MENSHEN_NIGHTLY=1"
    ),
]

FILLED = """\
apiVersion: menshen/v1
kind: Protection
metadata: {name: filled}
spec:
  objects: ["/srv/filled/**"]
  operations: [write]
  only: []
  mode: enforce
"""
ATTEMPTS = 20_000
"""Denials of which the ring holds a part only."""
ALIASES = 16_384
"""maps.h"""
CATALOGUE = 4_096
NOTICED = r"menshen events --kind notice -n 0 | grep -c 'the clock was set by [-+]63[0-9]\{6\} s'"
"""How often a step of two years was noticed; restoring the guest is a small one."""

TRUST = b"""\
apiVersion: menshen/v1
kind: TrustRoot
metadata: {name: team}
spec:
  keys:
    - publicKey: |
        %s
      identities: ["payments/*"]
"""

ATTEMPT = """\
import json, sys
refused = allowed = 0
for _ in range(int(sys.argv[1])):
    try:
        open("/etc/ssh/sshd_config", "a").close()
        allowed += 1
    except PermissionError:
        refused += 1
print(refused, allowed)
"""

LINK = """\
import os, sys
linked = refused = 0
for number in range(int(sys.argv[1])):
    path = f"/srv/filled/{number}"
    os.mknod(path)
    try:
        os.link(path, f"/srv/names/{number}")
        linked += 1
    except PermissionError:
        refused += 1
print(linked, refused)
"""


@pytest.fixture(scope="module")
def enforcing(module_guest: Guest) -> Guest:
    """A guest with a confined program, one Protection, and the agent running with its guard."""
    guest = module_guest
    guest.run("mkdir -p /opt/pay /srv/filled /srv/names && echo secret >/srv/secret")
    guest.put("/opt/pay/api", SCRIPT, 0o755)
    guest.put("/etc/menshen/agent.yaml", f"catalogue_size: {CATALOGUE}\n")
    guest.put("/root/attempt.py", ATTEMPT)
    guest.put("/root/link.py", LINK)
    guest.run("menshen enrol-self --service", timeout=300)
    guest.run("menshen identity enrol --packages", timeout=600)
    guest.run("menshen identity enrol --as payments/api /opt/pay/api", timeout=300)
    guest.run("menshen identity keygen /root/key")
    guest.put(
        "/etc/menshen/trust/team.yaml", TRUST % guest.get("/root/key.pub").replace(b"\n", b"\n        ")
    )
    guest.put("/etc/systemd/system/menshen.service.d/clock.conf", "[Service]\nWatchdogSec=0\n")
    guest.run("systemctl daemon-reload && systemctl start menshen", timeout=600)
    guest.put("/root/p/ssh.yaml", SSH)
    guest.put("/root/p/pay.yaml", CONFINED)
    guest.run("menshen policy apply /root/p/ssh.yaml /root/p/pay.yaml", timeout=300)
    guest.snapshot("limits")
    return guest


@pytest.fixture
def host(enforcing: Guest) -> Guest:
    enforcing.restore("limits")
    return enforcing


def assert_held(guest: Guest) -> None:
    """What is forbidden is refused, to a confined subject and to everybody; what is allowed works."""
    assert DENIED in guest.run(WRITE, check=False).stderr
    assert DENIED in guest.run("/opt/pay/api cat /srv/secret", check=False).stderr
    assert guest.run("/opt/pay/api cat /etc/hostname").stdout == "guest\n"


def counters(guest: Guest) -> dict[str, int]:
    return {name: int(value) for name, value in status(guest)["counters"].items()}


def logged(guest: Guest) -> int:
    """Denials on record."""
    return int(guest.run('cat /var/log/menshen/denials.jsonl* | grep -c \'"kind":"denial"\'').stdout)


def test_an_agent_that_is_stopped_and_a_ring_that_is_full_change_no_verdict_and_every_loss_is_counted(
    host: Guest,
) -> None:
    host.run(WRITE, check=False)
    wait(host, "grep -q sshd-config /var/log/menshen/denials.jsonl")
    before, there = counters(host), logged(host)
    host.run("systemctl kill --kill-who=main -s STOP menshen")
    tried = host.run(f"python3 /root/attempt.py {ATTEMPTS}", timeout=300).stdout.split()
    assert tried == [str(ATTEMPTS), "0"]
    assert_held(host)  # two more
    host.run("systemctl kill --kill-who=main -s CONT menshen")
    wait(host, "menshen policy list", 60)

    wanted, lost = ATTEMPTS + 2, 0
    for _ in range(60):
        lost = counters(host)["denials_lost"] - before["denials_lost"]
        if logged(host) - there + lost >= wanted:
            break
        host.run("sleep 1")
    assert counters(host)["denied"] - before["denied"] == wanted
    assert 0 < lost < ATTEMPTS
    assert logged(host) - there == wanted - lost
    health = {line["name"]: line for line in status(host)["health"]}
    assert f"denials_lost {lost}" in health["losses"]["text"]
    assert not health["losses"]["ok"]
    assert_held(host)


def test_a_full_table_of_names_refuses_the_next_link_and_counts_it(host: Guest) -> None:
    host.put("/root/p/filled.yaml", FILLED)
    host.run("menshen policy apply /root/p/filled.yaml", timeout=300)
    more = 50
    done = host.run(f"python3 /root/link.py {ALIASES + more}", timeout=600).stdout.split()
    linked, refused = map(int, done)
    assert (linked, refused) == (ALIASES, more)
    assert counters(host)["aliases_full"] == refused
    # What was linked is protected by its other name, and one that was refused has none.
    assert DENIED in host.run("echo x >>/srv/names/0", check=False).stderr
    assert host.run(f"test -e /srv/names/{ALIASES}", check=False).status != 0
    assert_held(host)


def test_a_full_catalogue_refuses_what_is_new_and_keeps_what_it_has(host: Guest) -> None:
    before = status(host)
    host.run(
        "mkdir -p /opt/many && cd /opt/many && "
        f'for i in $(seq {CATALOGUE}); do echo "#!/bin/sh\n# $i" >$i; done; chmod 755 *; '
        "menshen identity enrol --as many/one /opt/many/* >/dev/null",
        timeout=600,
    )
    refused = host.run("menshen reload", check=False, timeout=300)
    assert refused.status != 0
    assert f"Error: catalogue has room for {CATALOGUE} entries" in refused.stderr
    assert "nothing was changed" in refused.stderr
    assert_held(host)
    assert status(host)["generation"] == before["generation"]
    # After a death the agent comes back over the same table; a gate that is loaded anew has room for all.
    host.run("systemctl kill --kill-who=main -s KILL menshen")
    wait(host, "menshen policy list", 240)
    assert_held(host)
    host.run("menshen off --reason 'for a larger table'")
    wait(host, "test $(systemctl show -p ActiveState --value menshen) = inactive")
    host.run("systemctl start menshen", timeout=600)
    assert_held(host)
    assert int(status(host)["identities"]) > CATALOGUE


def test_an_agent_that_runs_out_of_memory_is_killed_and_comes_back_and_nothing_was_let_through(
    host: Guest,
) -> None:
    before = status(host)
    process = host.run("systemctl show -p MainPID --value menshen").stdout.strip()
    trier = host.popen("python3 /root/attempt.py 1000000")
    # As whoever sets limits to services could; reclaiming does not help it.
    host.run("echo 8M >/sys/fs/cgroup/system.slice/menshen.service/memory.max", timeout=240)
    wait(host, f"! test -e /proc/{process}", 240)
    assert_held(host)
    wait(host, "menshen policy list", 240)
    after = status(host)
    assert (after["generation"], after["hash"]) == (before["generation"], before["hash"])
    assert "oom-kill" in host.run("journalctl -u menshen -o cat").stdout
    assert int(host.run("systemctl show -p NRestarts --value menshen").stdout) >= 1
    assert_held(host)
    trier.signal(9)
    assert int(after["counters"]["denied"]) > int(before["counters"]["denied"])


def test_on_a_full_disk_the_old_policy_stays_the_error_says_so_and_lines_that_are_lost_are_counted(
    host: Guest,
) -> None:
    before = status(host)
    fill_disk(host)
    host.put("/run/p/other.yaml", FILLED)
    refused = host.run("menshen policy apply /run/p/other.yaml", check=False, timeout=300)
    assert refused.status != 0
    assert "No space left on device" in refused.stderr
    assert "nothing was changed" in refused.stderr
    now = status(host)
    assert (now["generation"], now["hash"]) == (before["generation"], before["hash"])
    for _ in range(40):  # more than the last block of the log has room for
        assert_held(host)
    wait(host, "menshen status | grep -q 'lines could not be written'", 60)
    assert any(event["path"] == "/etc/ssh/sshd_config" for event in events(host, "--kind", "denial"))
    # A death meanwhile: what is in force needs no disk.
    host.run("systemctl kill --kill-who=main -s KILL menshen")
    wait(host, "menshen policy list", 240)
    assert_held(host)
    host.run("rm /fill*")
    host.run("menshen policy apply /run/p/other.yaml", timeout=300)
    assert int(status(host)["generation"]) > int(before["generation"])


def test_off_works_on_a_full_disk(host: Guest) -> None:
    fill_disk(host)
    host.run(["menshen", "off", "--reason", "no room"])
    assert host.run("test -e /sys/fs/bpf/menshen", check=False).status != 0


@pytest.mark.parametrize(("jump", "then"), [("+2 years", "unidentified"), ("-2 years", "payments/api")])
def test_a_clock_that_jumps_opens_nothing_and_a_credential_ends_by_the_time_that_is_told(
    host: Guest, jump: str, then: str
) -> None:
    host.run("mkdir -p /opt/signed && (cat /opt/pay/api; echo '# signed') >/opt/signed/tool")
    host.run("chmod 755 /opt/signed/tool")
    host.run("menshen identity sign --key /root/key --as payments/api --valid 365d /opt/signed/tool")
    host.run("menshen reload", timeout=300)
    assert who(host) == "payments/api"

    host.run(["date", "-s", jump])
    wait(host, f"test $({NOTICED}) = 1", 90)
    assert_held(host)
    host.run("menshen reload", timeout=300)
    assert who(host) == then
    # Nor does an agent that knows nothing of before judge otherwise.
    host.run("systemctl kill --kill-who=main -s KILL menshen")
    wait(host, "menshen reload", 240)
    assert_held(host)
    assert who(host) == then
    assert events(host, "--kind", "denial")
    host.machine.link.set_clock()
    wait(host, f"test $({NOTICED}) = 1", 90)  # the one before went with the agent that was killed
    assert_held(host)
    assert who(host) == "payments/api"


def fill_disk(guest: Guest) -> None:
    """Until root too cannot write another byte."""
    guest.run(
        "sync; n=0; for size in 1G 256M 64M 16M 4M 1M 256K 64K 16K 4K; do "
        "while fallocate -l $size /fill$n 2>/dev/null; do n=$((n + 1)); done; rm -f /fill$n; done; "
        "! sh -c 'echo x >/full'",
        timeout=300,
    )


def who(guest: Guest) -> str:
    """Who the signed program is, by the answer of the kernel: payments/api may not read the secret."""
    tried = guest.run("/opt/signed/tool cat /srv/secret", check=False)
    if tried.stdout == "secret\n":
        return "unidentified"
    assert DENIED in tried.stderr, tried
    return "payments/api"
