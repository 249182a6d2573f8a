"""The sequence that may block, as an administrator sets it to: a key that may certify, a certificate over
what was recorded, a policy. Only the history is a test's: minutes, where a host would have a week.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from tests.guest.guest import Guest

SEQUENCE: Final = "download-run-scan"
"""The one that is shipped with a kernel form of every step."""

KEY: Final = "/root/certify.key"
DOCUMENT: Final = "/root/block.yaml"

TRUST: Final = f"""set -e
mkdir -p /etc/menshen/trust
menshen identity keygen {KEY}
{{
    printf 'apiVersion: menshen/v1\\nkind: TrustRoot\\nmetadata: {{name: corpus}}\\nspec:\\n'
    printf '  reserved: ["menshen/"]\\n  keys:\\n'
    printf '    - identities: ["menshen/certify"]\\n      publicKey: |\\n'
    sed 's/^/        /' {KEY}.pub
}} >/etc/menshen/trust/corpus.yaml
"""
"""Before the agent starts."""


def block(guest: Guest, benign: Iterable[str] = ()) -> str:
    """Certify it over what was recorded until now, and have the kernel deny its last step; what was said."""
    known = "".join(f" --benign {name}" for name in benign)
    certify = f"menshen certify {SEQUENCE} --key {KEY} --hours 0.001 --document {DOCUMENT}{known}"
    said = guest.run(f"{certify} && menshen policy apply {DOCUMENT}", timeout=400)
    return said.stdout


def denied(guest: Guest) -> list[int]:
    """Sessions of the steps that a sequence denied, as the gate has it."""
    lines = guest.run("menshen events -o json --kind denial -n 0", timeout=120).stdout.splitlines()
    found: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return [int(each.get("session", 0)) for each in found if each.get("rule_kind") == "sequence"]
