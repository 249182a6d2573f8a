"""The demo's host: what is put into the guest, and how it is started."""

from __future__ import annotations

from pathlib import Path

from tests.demo.build import MENSHEN, Programs
from tests.demo.build import SERVICE as SOURCES
from tests.demo.denials import Denial
from tests.demo.world import (
    CERTIFY_KEY,
    INSIDE,
    KEEP,
    KEY,
    NAMESPACE,
    NEXT,
    OUTSIDE,
    SECRET,
    SECRET_TEXT,
    SERVICE,
    UNITS,
)
from tests.guest import cache
from tests.guest.guest import Guest
from tests.guest.host import HostError, run
from tests.guest.image import debian

POLICIES = Path(__file__).resolve().parent / "policies"
MOTD = "/etc/update-motd.d/10-uname"
"""A configuration file that is a script, which packages do not vouch for: sshd's PAM runs it at a login."""
START_SECONDS = 300
CATALOGUE = "/var/lib/menshen/catalogue"

FURNISH = f"""
ip netns add {NAMESPACE}
ip link add demo type veth peer name demo netns {NAMESPACE}
ip address add {INSIDE}/24 dev demo
ip link set demo up
ip -n {NAMESPACE} address add {OUTSIDE}/24 dev demo
ip -n {NAMESPACE} link set lo up
ip -n {NAMESPACE} link set demo up
chmod 600 {SECRET}
ln -sf /etc/nginx/sites-available/payments /etc/nginx/sites-enabled/default
mkdir -p {KEEP} /root/.ssh
ssh-keygen -q -t ed25519 -N '' -f {KEY}
cp {KEY}.pub /root/.ssh/authorized_keys
chmod 700 /root/.ssh
cp -p {SERVICE} {KEEP}/payments-api
cp -p /etc/ssh/sshd_config {KEEP}/sshd_config
systemctl daemon-reload
"""


def furnish(guest: Guest, programs: Programs) -> None:
    """The service, its files, another business's secret, and an outside world."""
    guest.put(SERVICE, programs.service, 0o755)
    guest.put(NEXT, programs.service, 0o755)
    guest.put("/etc/payments/api.conf", (SOURCES / "api.conf").read_text())
    guest.put("/etc/systemd/system/payments-api.service", (SOURCES / "payments-api.service").read_text())
    guest.put("/etc/nginx/sites-available/payments", (SOURCES / "nginx-payments").read_text())
    guest.put("/usr/local/lib/outside.py", (SOURCES / "outside.py").read_text())
    guest.put(SECRET, SECRET_TEXT, 0o600)
    guest.run(f"set -e\n{FURNISH}")


def identities() -> bytes:
    """The catalogue of Debian's own programs, from the package database of the guest's tree."""
    tree = debian()
    code = sorted((cache.REPOSITORY / "identity").glob("*.py"))
    key = cache.digest("catalogue", tree.parent.name, *code)

    def enrol(into: Path) -> None:
        target = into / "catalogue"
        run([MENSHEN, "identity", "enrol", "--packages", "--root", tree, "--catalogue", target])

    return (cache.made("catalogue", key, enrol, say=False) / "catalogue").read_bytes()


def enrol(guest: Guest, programs: Programs) -> None:
    """Who is who, in all three ways: the package database, a trusted signature, an administrator."""
    guest.put(CATALOGUE, identities(), 0o600)
    for name, root in programs.trust.items():
        guest.put(f"/etc/menshen/trust/{name}.yaml", root)
    guest.put(CERTIFY_KEY, programs.certify_key, 0o600)
    guest.put("/etc/menshen/agent.yaml", "scan: [/opt/payments]\n")
    guest.run(f"menshen enrol-self --service && menshen identity enrol {MOTD} --as host/motd --reason demo")


def start_menshen(guest: Guest) -> None:
    """From here on it is enforced."""
    started = guest.run("systemctl start menshen || journalctl -u menshen -o cat", timeout=START_SECONDS)
    if started.stdout:
        raise HostError(f"the agent did not start:\n{started.stdout}")
    for policy in sorted(POLICIES.glob("*.yaml")):
        guest.put(f"/root/policies/{policy.name}", policy.read_bytes())
    guest.run("menshen policy apply /root/policies")


def start_services(guest: Guest) -> None:
    """redis, the service, nginx, sshd: Debian's units as they are."""
    guest.run(f"systemctl start {' '.join(UNITS)}")


def explain(guest: Guest, denial: Denial | None) -> str:
    """`menshen why` of a denial, as an administrator would ask."""
    if denial is None:
        return ""
    return f"$ menshen why {denial.number}\n{guest.run(f'menshen why {denial.number}').stdout}"


def main_pid(guest: Guest, unit: str) -> int:
    """The process id of a unit's main process."""
    return int(guest.run(f"systemctl show --value -p MainPID {unit}").stdout)
