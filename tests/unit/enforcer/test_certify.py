"""Sequences that may block: `menshen certify` over a store, and what the agent makes of certificates."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from detect.decode import Decoder
from detect.enrich import Enricher
from detect.rules.engine import RuleEngine
from detect.rules.library import RULES
from detect.rules.parse import load
from detect.sequences.library import shipped
from detect.sequences.measure import HOUR, Measured
from detect.store.settings import StoreSettings
from detect.store.store import Store
from enforcer import certificates
from enforcer.agent.language import Language
from enforcer.cli import main
from enforcer.commands import certify as command
from enforcer.errors import EnforcerError
from identity import keys
from identity.certificate import Certificate, Figures, seal
from policies import load_paths, parse_text
from tests.bench.stream import stream
from tests.unit.policies.test_sequence import BLOCKING

KEY = keys.generate(keys.Algorithm.ED25519)
FIGURES = Figures(1000, 0, 200_000, 300_000, 12, 2, 0, 0, "ab" * 32)
NOW = 1_500_000
DIGEST = parse_text(BLOCKING).sequences[0].digest


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A host whose trust root lets KEY certify."""
    (tmp_path / "trust").mkdir()
    pem = "".join(f"        {line}\n" for line in KEY.public.pem.splitlines())
    (tmp_path / "trust/security.yaml").write_text(
        "apiVersion: menshen/v1\nkind: TrustRoot\nmetadata: {name: security}\nspec:\n"
        f'  reserved: ["menshen/"]\n  keys:\n    - identities: ["menshen/certify"]\n      publicKey: |\n{pem}'
    )
    return tmp_path


def certified(host: Path, now: float = NOW) -> certificates.Certified:
    return certificates.read(host / "certificates", host / "trust", now)


def keep(host: Path, digest: bytes = DIGEST) -> None:
    made = Certificate("story", digest, 1_000_000, 2_000_000, FIGURES)
    certificates.keep(host / "certificates", "story", seal(made, KEY))


def language(host: Path, now: float = NOW) -> Language:
    return Language(certified=lambda: certified(host, now))


def blocks(compiled_rules: object) -> bool:
    """Whether the image has a rule of the sequence."""
    return any(rule.kind == "sequence" for rule in compiled_rules)  # type: ignore[attr-defined]


FILES = {"story.yaml": BLOCKING.encode()}


def test_without_a_certificate_it_may_not_block(host: Path) -> None:
    with pytest.raises(EnforcerError) as caught:
        language(host).compile(FILES)
    (problem,) = caught.value.problems
    assert "not certified as it stands" in problem.message
    assert problem.file == "story.yaml"
    assert problem.line


def test_with_one_for_exactly_this_it_may(host: Path) -> None:
    keep(host)
    assert blocks(language(host).compile(FILES).rules)
    other = {"story.yaml": BLOCKING.replace("count: 3", "count: 2").encode()}
    with pytest.raises(EnforcerError):
        language(host).compile(other)


def test_one_by_a_stranger_is_none(host: Path) -> None:
    keep(host)
    (host / "trust/security.yaml").unlink()
    compiled = language(host).compile(FILES)
    assert not blocks(compiled.rules)
    assert any("no trust root names" in warning.message for warning in compiled.warnings)


def test_one_that_has_expired_puts_it_back_to_alert(host: Path) -> None:
    keep(host)
    compiled = language(host, now=2_000_001).compile(FILES)
    assert not blocks(compiled.rules)
    assert any("expired" in warning.message for warning in compiled.warnings)


def test_a_revocation_puts_it_back_to_alert_and_names_its_id(host: Path) -> None:
    keep(host)
    certificates.revoke(host / "certificates", "story", "it denied the backup")
    assert certified(host).revoked == {int.from_bytes(DIGEST[:8], "little"): "it denied the backup"}
    compiled = language(host).compile(FILES)
    assert not blocks(compiled.rules)
    assert any("it denied the backup" in warning.message for warning in compiled.warnings)


def test_a_revocation_that_cannot_be_read_is_one(host: Path) -> None:
    keep(host)
    (host / "certificates/story.revoked").write_bytes(b"\xff")
    assert not certified(host).digests
    assert len(certified(host).revoked) == 1


def test_what_is_no_certificate_certifies_nothing(host: Path) -> None:
    keep(host)
    (host / "certificates/other.certificate").write_bytes(b"{}")
    assert certified(host).digests == {DIGEST}


class Fake:
    """`menshen certify` of a shipped sequence, with a history of our making."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.measured = Measured(
            events=10**6, boots=3, host_time=200 * HOUR, session_time=900 * HOUR, sessions=8
        )
        self.measured.history = "cd" * 32
        self.alerts: dict[str, int] = {}
        self.unread: tuple[str, ...] = ()
        monkeypatch.setattr(
            command, "_replay", lambda *_: command.Replayed(self.measured, self.alerts, self.unread)
        )
        self.key = tmp_path / "key"
        keys.save_pair(KEY, self.key)
        self.output = tmp_path / "made.certificate"

    def run(self, *more: str) -> tuple[int, str]:
        arguments = ["certify", "download-run-scan", "--key", str(self.key), "--output", str(self.output)]
        done = CliRunner().invoke(main, [*arguments, *more])
        return done.exit_code, done.output


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fake:
    return Fake(monkeypatch, tmp_path)


def test_a_clean_history_is_certified(fake: Fake, host: Path) -> None:
    status, said = fake.run()
    assert status == 0, said
    assert "0.015 a host-hour" in said
    (host / "certificates").mkdir()
    fake.output.rename(host / "certificates/download-run-scan.certificate")
    (sequence,) = (each for each in shipped() if each.name == "download-run-scan")
    assert certificates.read(host / "certificates", host / "trust").digests == {sequence.digest}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"host_time": 167 * HOUR}, "167.0 hours, and 168 are needed"),
        ({"blocks": [{"exe": "x", "path": "y", "port": 1}]}, "comes true in a history"),
        ({"lost": 1001}, "more than one in a thousand"),
    ],
)
def test_anything_else_is_refused_and_nothing_is_signed(
    fake: Fake, change: dict[str, object], why: str
) -> None:
    fake.measured = replace(fake.measured, **change)  # type: ignore[arg-type]
    status, said = fake.run()
    assert status == 1
    assert why in said
    assert not fake.output.exists()


def test_a_history_with_other_alerts_is_benign_only_where_somebody_says_so(fake: Fake) -> None:
    fake.alerts = {"web-shell": 2, "backup-reads-keys": 7}
    status, said = fake.run()
    assert status == 1
    assert "backup-reads-keys 7, web-shell 2" in said
    status, said = fake.run("--benign", "backup-reads-keys")
    assert status == 1
    assert "above: web-shell 2 (" in said
    assert not fake.output.exists()
    assert fake.run("--benign", "backup-reads-keys", "--benign", "web-shell")[0] == 0
    assert fake.output.exists()


def test_a_history_that_cannot_all_be_read_is_refused(fake: Fake) -> None:
    fake.unread = ("segment 7 (100 events) cannot be read: a hole",)
    status, said = fake.run()
    assert status == 1
    assert "segment 7 (100 events)" in said
    assert not fake.output.exists()


def test_over_a_real_store_its_alerts_are_found_anew(tmp_path: Path) -> None:
    engine = RuleEngine(load([RULES]))
    decoder, enricher = Decoder(), Enricher()
    with Store(StoreSettings(tmp_path / "events"), tags=engine.tags) as store:
        for raw in stream(20_000, 1):
            batch = enricher.enrich(decoder.decode(raw))
            store.append(batch, engine.match(batch))
    arguments = ["certify", "download-run-scan", "--store", str(tmp_path / "events"), "--hours", "0.0001"]
    first = CliRunner().invoke(main, [*arguments, "-o", "json"])
    said = json.loads(first.output.splitlines()[0])
    assert said["events"] == 20_000
    assert said["alerts"]
    assert not said["certifiable"]
    benign = [word for name in said["alerts"] for word in ("--benign", name)]
    second = CliRunner().invoke(main, [*arguments, *benign, "-o", "json"])
    assert json.loads(second.output.splitlines()[0])["refused"] == [
        each for each in said["refused"] if "not benign" not in each
    ]


def test_what_the_kernel_could_not_follow_is_not_certified(fake: Fake) -> None:
    done = CliRunner().invoke(main, ["certify", "configuration-then-login", "--key", str(fake.key)])
    assert done.exit_code == 1
    assert "no kernel form in configuration, known-hosts, login" in done.output


READING = """\
apiVersion: menshen/v1
kind: Sequence
metadata: {name: reads}
spec:
  title: Something is read
  level: high
  key: session
  within: 1h
  steps:
    - {name: read, tag: any, kernel: {operation: read, paths: [%s]}}
    - {name: write, tag: any, kernel: {operation: write, paths: [/tmp/*]}}
"""


def test_what_no_history_can_tell_is_not_certified(fake: Fake, tmp_path: Path) -> None:
    for path, refused in (("/etc/shadow", False), ("/srv/**", True)):
        (tmp_path / "reads.yaml").write_text(READING % path)
        done = CliRunner().invoke(main, ["certify", "reads", "--from", str(tmp_path / "reads.yaml")])
        assert done.exit_code == refused, done.output
        assert ("no history tells of reading /srv/**" in done.output) == refused


def test_its_document_is_written_so_that_it_blocks(fake: Fake, tmp_path: Path) -> None:
    document = tmp_path / "scan.yaml"
    status, said = fake.run("--document", str(document))
    assert status == 0, said
    assert f"menshen policy apply {document}" in said
    (written,) = load_paths([document]).sequences
    (sequence,) = (each for each in shipped() if each.name == "download-run-scan")
    assert written.blocks
    assert written.digest == sequence.digest


def test_a_key_that_this_host_does_not_trust_is_told(fake: Fake) -> None:
    assert "not on this host: it is signed by a key that no trust root names" in fake.run()[1]


def test_figures_for_programs(fake: Fake) -> None:
    said = json.loads(fake.run("-o", "json")[1].splitlines()[0])
    assert said["certifiable"]
    assert said["host_millihours"] == 200_000
    assert said["per_session_hour"] == pytest.approx(2.9957 / 900, rel=1e-3)


def test_an_unknown_sequence_names_those_that_are_near() -> None:
    done = CliRunner().invoke(main, ["certify", "download-run-scam"])
    assert done.exit_code == 1
    assert "download-run-scan" in done.output


def test_to_revoke_takes_a_reason() -> None:
    done = CliRunner().invoke(main, ["certify", "story", "--revoke"])
    assert done.exit_code == 2
    assert "--reason" in done.output
