"""The real policy language behind the agent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from enforcer.agent.language import Language
from enforcer.cli import main
from enforcer.errors import EnforcerError
from enforcer.places import Places
from identity.names import identity_id
from tests.unit.enforcer.conftest import make_agent
from tests.unit.enforcer.fakes import FakeGate

SSH = """\
apiVersion: menshen/v1
kind: Protection
metadata: {name: sshd-config}
spec:
  objects: ["/etc/ssh/**", "/etc/{pam.d,security}/*.conf", "/**/authorized_keys"]
  operations: [write, create]
  only: [{identity: os/openssh-server}]
  mode: enforce
"""
API = """\
apiVersion: menshen/v1
kind: Policy
metadata: {name: payments-api}
spec:
  subject: {identity: payments/api}
  mode: audit
  files:
    - {allow: [read], paths: ["/etc/**"]}
    - {deny: [write], paths: ["/etc/payments/keys/**"], mode: enforce}
"""
FILES = {"ssh.yaml": SSH.encode(), "api.yaml": API.encode()}


def test_documents_rules_and_subjects_come_from_the_image_alone() -> None:
    compiled = Language().compile(FILES)
    again = Language().read(compiled.image + b"\0" * 100)
    assert again == compiled
    assert {(one.kind, one.name, one.subject, one.mode) for one in again.documents} == {
        ("Protection", "sshd-config", "", "enforce"),
        ("Policy", "payments-api", "payments/api", "audit"),
    }
    deny = next(rule for rule in again.rules if "payments/keys" in rule.text)
    assert (deny.name, deny.place, deny.mode) == ("payments-api", "api.yaml:9", "enforce")


def test_only_enforced_policies_confine_a_caller() -> None:
    audit = Language().compile(FILES)
    enforced = Language().compile({"api.yaml": API.replace("mode: audit", "mode: enforce").encode()})
    assert not audit.confines(identity_id("payments/api"))
    assert enforced.confines(identity_id("payments/api"))
    assert not enforced.confines(0)
    assert not enforced.confines(identity_id("os/bash"))


def test_an_enforced_policy_for_the_unidentified_confines_them() -> None:
    text = API.replace("{identity: payments/api}", "{unidentified: true}").replace(
        "mode: audit", "mode: enforce"
    )
    assert Language().compile({"u.yaml": text.encode()}).confines(0)


def test_where_other_names_are_looked_for() -> None:
    language = Language()
    roots, classes_of = language.aliases(language.compile(FILES).image)
    assert set(roots) == {Path("/")}
    fewer = {**FILES, "ssh.yaml": FILES["ssh.yaml"].replace(b', "/**/authorized_keys"', b"")}
    narrow, _ = language.aliases(language.compile(fewer).image)
    folders = ("/etc/ssh", "/etc/pam.d", "/etc/security", "/etc/payments/keys")
    assert set(narrow) == set(map(Path, folders))
    paths = ["/etc/ssh/sshd_config", "/home/x/.ssh/authorized_keys", "/etc/hostname"]
    assert [number is not None for number in classes_of(paths)] == [True, True, False]


def test_documents_know_their_lines() -> None:
    found = Language().documents({"all.yaml": f"{SSH}---\n{API}".encode()})
    assert [(one.name, one.line) for one in found] == [("payments-api", 12), ("sshd-config", 3)]


@pytest.mark.parametrize("image", [b"", b"rubbish", b"MNSH" + b"\0" * 200])
def test_rubbish_is_no_image(image: bytes) -> None:
    with pytest.raises(EnforcerError, match="no policy image"):
        Language().read(image)


def test_validate_shows_every_fault_with_its_line_and_caret(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(API.replace("mode: audit", "mod: audit").replace("[read]", "[raed]"))
    (tmp_path / "b.yaml").write_text(SSH.replace("/etc/ssh/**", "etc/ssh"))
    done = CliRunner().invoke(main, ["policy", "validate", str(tmp_path)])
    assert done.exit_code == 1
    for said in ("a.yaml:6:3: ", "a.yaml:8:16: ", "b.yaml:5:13: ", "  ^", "did you mean"):
        assert said in done.output
    machine = CliRunner().invoke(main, ["policy", "validate", "-o", "json", str(tmp_path)])
    assert machine.exit_code == 1
    assert [problem["line"] for problem in json.loads(machine.output)["problems"]] == [6, 8, 5]


def test_validate_is_content_with_good_files(tmp_path: Path) -> None:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    done = CliRunner().invoke(main, ["policy", "validate", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "2 documents" in done.output


def test_apply_through_the_command_line(places: Places, tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    for name, content in FILES.items():
        (given / name).write_bytes(content.replace(b"/**/authorized_keys", b"/srv/none"))
    gate = FakeGate()
    agent = make_agent(gate, places, compiler=Language(gate.capacity))
    agent.start(adopted=False)
    try:
        menshen = ["--socket", str(places.socket), "policy"]
        applied = CliRunner().invoke(main, [*menshen, "apply", str(given)])
        assert applied.exit_code == 0, applied.output
        assert "+payments-api, +sshd-config" in applied.output
        listed = CliRunner().invoke(main, [*menshen, "list"]).output
        assert "sshd-config" in listed
        (given / "api.yaml").write_text(API + "    - {allow: [fly]}\n")
        refused = CliRunner().invoke(main, [*menshen, "apply", str(given)])
        assert refused.exit_code == 1
        assert "api.yaml:10:" in refused.output
        assert "nothing was changed, generation 2 is still in force" in refused.output
        assert CliRunner().invoke(main, [*menshen, "list"]).output == listed
    finally:
        agent.stop()


def test_a_guarded_image_keeps_the_pins_from_everyone_but_the_agent() -> None:
    from policies.evaluate import Evaluator
    from policies.operations import Operations

    evaluator = Evaluator(Language(guarded=True).compile({}).image)
    root, agent = (Operations(evaluator, evaluator.row(one)) for one in ("os/bash", "menshen/agent"))
    pin = "/sys/fs/bpf/menshen/links/file_open"
    assert agent.unlink(pin).allowed
    assert not root.unlink(pin).allowed
    for holder in ("/sys/fs/bpf/menshen", "/sys/fs/bpf", "/sys"):
        assert not root.mount_over(holder).allowed, holder
    assert root.mount_over("/mnt").allowed
    assert root.rename("/sys/fs/bpf/other", "/sys/fs/bpf/else").allowed
