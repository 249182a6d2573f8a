"""Each special word on each kernel: with it a call goes through, without it not, and a record names it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from identity.names import identity_id
from policies import compile_documents, parse_text
from policies.image import Special
from tests.guest.guest import Guest
from tests.guest.test_loader import python

ACTOR = Path(__file__).with_name("special_actor.py")
IDENTITY = "test/actor"
OTHER = "test/other"

CASES = (
    "ptrace", "ptrace by process_vm_readv", "kill", "module", "kexec", "bpf", "perf", "mount",
    "mount by open_tree", "mount by fsopen", "mount by mount_setattr", "namespaces",
    "namespaces by setns", "userns", "chroot", "setid", "setid of a group", "setid of groups",
    "mknod", "raw-socket", "packet-socket", "netlink", "vsock", "af-alg", "io-uring", "userfaultfd",
    "keyring", "keyring by reading", "swap", "hostname", "syslog", "reboot", "clock", "quota",
    "acct", "ioport", "raw-device", "raw-device that is memory", "fanotify", "schedule-others",
    "schedule-others by affinity", "schedule-others by limits", "cgroup", "cgroup by a new group",
)  # fmt: skip
"""A word, and how it is exercised where there is more than one way."""

UNTRIED = {Special.USB}
"""No guest has a USB bus."""

NATURAL = {
    "module": {"ENOEXEC"},
    "ptrace by process_vm_readv": {"EFAULT"},
    "bpf": {"ENOENT"},
    "swap": {"ENOENT"},
    "vsock": {"EAFNOSUPPORT", "ENODEV"},
    "af-alg": {"EAFNOSUPPORT"},
    "raw-device that is memory": {"ENOENT"},
    "keyring by reading": {"ENOKEY", "EOPNOTSUPP", "EACCES"},
    "perf": {"ENOENT"},
}
"""What the kernel itself answers to the call once it is allowed, where that is not success."""

POLICY = """\
apiVersion: menshen/v1
kind: Policy
metadata: {{name: actor}}
spec:
  subject: {{identity: test/actor}}
  mode: enforce
  files:
    - {{allow: [read, write, create, delete, attributes, ioctl], paths: ["/**"]}}
    - {{allow: [map-exec], paths: ["/**"], unsigned: true}}
  exec:
    - {{paths: ["/**"], unsigned: true}}
  jit: true
  special:
    allow: [{words}]
    capabilities: [{capabilities}]
"""

CAPABILITIES = (
    "chown, dac_override, dac_read_search, fowner, kill, setgid, setuid, net_admin, net_raw, ipc_lock, "
    "sys_module, sys_rawio, sys_chroot, sys_ptrace, sys_pacct, sys_admin, sys_boot, sys_nice, sys_resource, "
    "sys_time, mknod, syslog, perfmon, bpf, checkpoint_restore"
)

RUN = """
from bpf_lsm.events import decode
cases, names = (json.loads(Path(path).read_text()) for path in ("/root/cases", "/root/names"))
gate = Gate.load(OBJECT, capacity=1 << 20)
digest = lambda path: hashlib.sha256(Path(path).read_bytes()).digest()
Path("/root/other").write_bytes(Path("/usr/bin/sleep").read_bytes())
os.chmod("/root/other", 0o755)
with open("/root/other", "ab") as stream:
    stream.write(b"another program")
gate.set_credentials({digest("/root/actor"): names["actor"], digest("/root/other"): names["other"]})
gate.adopt_tasks({}, {})
other = subprocess.Popen(["/root/other", "600"])
time.sleep(0.5)

def act(case):
    done = subprocess.run(["/root/actor", case, str(other.pid)], capture_output=True, text=True)
    return done.stdout.strip() or done.stderr[-300:]

found = {}
for word, cases in cases.items():
    gate.install(Path(f"/root/images/without-{word}").read_bytes())
    for case in cases:
        gate.denials.read()
        said = act(case)
        events = [decode(one) for one in gate.denials.read()]
        words = {event.object_class for event in events if event.operation.word != "capable"}
        found[case] = [said, sorted(words)]
gate.install(Path("/root/images/with").read_bytes())
for case in found:
    gate.denials.read()
    found[case] += [act(case), [decode(one).operation.word for one in gate.denials.read()]]
other.kill()
gate.off()
answer(**found)
"""


def image(words: set[Special]) -> bytes:
    listed = ", ".join(sorted(word.word for word in words))
    text = POLICY.format(words=listed, capabilities=CAPABILITIES)
    return compile_documents(parse_text(text), capacity=1 << 20).image


def word_of(case: str) -> Special:
    """The word at the beginning of a case's name."""
    return next(word for word in Special if case.split(" ", maxsplit=1)[0] == word.word)


@pytest.fixture(scope="module")
def answers(module_guest: Guest) -> dict[str, Any]:
    """What became of every case without and with its word."""
    guest = module_guest
    by_word: dict[str, list[str]] = {}
    for case in CASES:
        by_word.setdefault(word_of(case).word, []).append(case)
    guest.put("/root/actor", ACTOR.read_bytes(), 0o755)
    guest.put("/root/images/with", image(set(Special)))
    guest.put("/root/image", b"")  # which the prelude reads
    for word in by_word:
        guest.put(f"/root/images/without-{word}", image({one for one in Special if one.word != word}))
    guest.put("/root/cases", json.dumps(by_word))
    guest.put("/root/names", json.dumps({"actor": identity_id(IDENTITY), "other": identity_id(OTHER)}))
    return python(guest, RUN)


def test_every_word_has_a_case() -> None:
    assert {word_of(case) for case in CASES} | UNTRIED == set(Special)


@pytest.mark.parametrize("case", CASES)
def test_without_its_word_a_call_is_refused_and_the_record_names_the_word(
    answers: dict[str, Any], case: str
) -> None:
    said, words, *_ = answers[case]
    assert said in ("EPERM", "EACCES")
    assert words == [word_of(case)]


@pytest.mark.parametrize("case", CASES)
def test_with_its_word_a_call_goes_through(answers: dict[str, Any], case: str) -> None:
    *_, said, denials = answers[case]
    assert said in {"0", *NATURAL.get(case, ())}
    assert denials == []
