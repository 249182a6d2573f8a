"""Where things are in the demo's guest."""

from __future__ import annotations

INSIDE = "10.66.0.2"
"""The host's address toward the outside."""
OUTSIDE = "10.66.0.1"
OUTSIDE_TCP = 4444
OUTSIDE_UDP = 53
SCANNED = (5432, 6379, 9200)
"""Further ports on which something answers: what the last act is after."""
NAMESPACE = "outside"

SERVICE = "/opt/payments/bin/payments-api"
NEXT = "/opt/payments/bin/payments-api.next"
"""The next release: signed, in its place, not started yet."""
LOGS = "/var/log/payments"
FOOTHOLD = "/var/tmp/.scan"
"""Where the second intruder, who has a login, puts his scanner."""
KEEP = "/var/lib/outside/keep"
"""Copies of what the intruder breaks, to put it right afterwards."""
KEY = "/var/lib/outside/key"
CERTIFY_KEY = "/root/security.key"
SECRET = "/etc/ledger/secret.key"
SECRET_TEXT = "ledger-signing-key 7f3a9c\n"
MODULE = "nlmon"

IDENTITY = "payments/api"
CERTIFIER = "menshen/certify"
REDIS = "os/redis-tools"
"""Debian's redis-server is a link to a program of that package."""
SSHD = "os/openssh-server"
PERL = "os/perl-base"
UNITS = ("redis-server", "payments-api", "nginx", "ssh")

SSH = (
    f"ip netns exec {NAMESPACE} ssh -q -i {KEY} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null "
    f"-o ConnectTimeout=30 root@{INSIDE}"
)
