"""The policies that the cases are held against, as YAML text: a rule for what each case needs, or denies."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from policies.compile.assemble import CAPABILITIES
from policies.image import Special
from tests.guest.evasion.cases import Case

TREES: Final = "/srv/e"
"""TREES/VARIANT/CASE/{no,yes}/{object,free}"""

LEAD: Final = "evasion/lead"
IDENTITIES: Final = {
    "trusted": "evasion/trusted",
    "root": "evasion/root",
    "policy": "evasion/confined",
    "placed": "evasion/placed",
    "incapable": "evasion/incapable",
}
"""By who does it; `unidentified` has none, `root` no policy."""

PROBE: Final = "evasion/probe"
TOOL: Final = "evasion/tool"

FILE_RIGHTS: Final = (
    "read", "write", "append", "create", "delete", "rename", "link", "attributes", "map-exec", "ioctl"
)  # fmt: skip
FREE: Final = [f"{TREES}/*/*/*/free", f"{TREES}/*/*/*/free/**"]
FREE_PORT: Final = 4101
PLACING: Final = ("io-uring", "namespaces", "chroot")
WORDS: Final = [special.word for special in Special]

Document = dict[str, Any]

LIFE: Final = f"""\
apiVersion: menshen/v1
kind: Protection
metadata: {{name: life}}
spec: {{objects: [/srv/life/file], operations: [read], only: [{{identity: {PROBE}}}], mode: enforce}}
"""
"""For life.py."""


def text(cases: Iterable[Case]) -> str:
    """All of them. JSON is YAML."""
    kept = list(cases)
    documents = [
        _everything("trusted", WORDS, list(CAPABILITIES)),
        _everything("incapable", WORDS, []),
        _confined("policy", kept, ()),
        _confined("placed", kept, PLACING),
        _policy(
            "unidentified",
            {"unidentified": True},
            {
                "files": [{"allow": ["read"], "paths": [f"{TREES}/*/become-*/yes/**"]}],
                "special": {"allow": [], "capabilities": []},
            },
        ),
        _policy(
            "probe",
            {"identity": PROBE},
            {"files": [{"allow": ["read"], "paths": [f"{TREES}/*/*/yes/**"]}]},
        ),
        *(_protection(case) for case in kept if case.by == "protection"),
    ]
    return "\n---\n".join(map(json.dumps, documents))


def protection_name(case: Case) -> str:
    """Of the Protection that a case is held against."""
    return f"keeps-{case.do}"


def objects(case: Case) -> list[str]:
    """Patterns for what the case is about, on its denied side."""
    return [f"{TREES}/*/{case.id}/no/object", f"{TREES}/*/{case.id}/no/object/**"]


def _document(kind: str, name: str, spec: Document) -> Document:
    return {"apiVersion": "menshen/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def _policy(name: str, subject: Document, spec: Document) -> Document:
    return _document("Policy", name, {"subject": subject, "mode": "enforce", **spec})


def _everything(who: str, words: list[str], capabilities: list[str]) -> Document:
    spec = {
        "base": False,
        "files": [{"allow": list(FILE_RIGHTS), "paths": ["/**"], "unsigned": True}],
        "exec": [{"paths": ["/**"], "unsigned": True}],
        "network": [
            {"allow": "connect", "to": {"protocol": "any"}},
            {"allow": "connect", "to": {"unix": "/**"}},
            {"allow": "connect", "to": {"unix": "@*"}},
            {"allow": "listen", "protocol": "any"},
            {"allow": "listen", "unix": "/**"},
            {"allow": "listen", "unix": "@*"},
        ],
        "jit": True,
        "special": {"allow": words, "capabilities": capabilities},
    }
    return _policy(who, {"identity": IDENTITIES[who]}, spec)


def _confined(who: str, cases: Iterable[Case], words: Iterable[str]) -> Document:
    files: list[Document] = [
        {"allow": list(FILE_RIGHTS), "paths": FREE},
        {"allow": ["read"], "paths": [f"{TREES}/*/*/*"]},
        # So that it is not the path that denies what has a special right.
        {"allow": ["read", "write"], "paths": ["/proc/[0-9]*/**", "/sys/fs/cgroup/**"]},
    ]
    exec_: list[Document] = [{"paths": [FREE[1]]}]
    for case in cases:
        if case.by not in ("policy", "placed"):
            continue
        if rights := [right for right in case.needs if right != "execute"]:
            files.append({"allow": rights, "paths": objects(case)})
        if case.deny:
            files.append({"deny": list(case.deny), "paths": objects(case)})
        if "execute" in case.needs:
            exec_.append({"paths": objects(case)})
    spec = {
        "files": files,
        "exec": exec_,
        "network": [
            {"allow": "connect", "to": {"protocol": "any", "ports": [FREE_PORT]}},
            {"allow": "listen", "unix": "@evasion-kin"},
            *([{"deny": "connect", "to": {"unix": "@evasion-kin"}}] if who == "placed" else []),
        ],
        "jit": False,
        "special": {"allow": list(words), "capabilities": list(CAPABILITIES)},
    }
    return _policy(who, {"identity": IDENTITIES[who]}, spec)


def _protection(case: Case) -> Document:
    right = "read" if case.denial.what == "list" else case.denial.what
    only = [LEAD]
    if right == "mount":  # a move whose old place nobody sees is denied to whom any of them binds
        only.append(IDENTITIES["trusted"])
    spec = {
        "objects": objects(case),
        "operations": [right],
        "only": [{"identity": name} for name in only],
        "mode": "enforce",
    }
    return _document("Protection", protection_name(case), spec)
