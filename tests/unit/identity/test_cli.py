"""The identity commands: what they print and how they end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from identity import catalogue_file, display
from identity.catalogue import Source
from identity.cli import identity
from identity.keys import load_public
from tests.unit.identity.debian import SCRIPT, Debian
from tests.unit.identity.helpers import program


def run(*words: str | Path, given: str | None = None) -> Result:
    result = CliRunner().invoke(identity, [str(word) for word in words], input=given)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


class Site:
    """A directory with a key, a trust root, and a program."""

    def __init__(self, directory: Path) -> None:
        self.key = directory / "key"
        self.trust = directory / "trust.yaml"
        self.program = program(directory)
        self.catalogue = directory / "state" / "catalogue"
        assert run("keygen", self.key).exit_code == 0
        pem = self.key.with_name("key.pub").read_text().replace("\n", "\n        ")
        self.trust.write_text(
            "apiVersion: menshen/v1\nkind: TrustRoot\nmetadata: {name: payments}\nspec:\n  keys:\n"
            f'    - publicKey: |\n        {pem}\n      identities: ["payments/*"]\n'
        )

    def sign(self, name: str = "payments/api", *more: str | Path) -> Result:
        return run("sign", self.program, "--key", self.key, "--as", name, *more)

    def verify(self, *more: str) -> Result:
        return run("verify", self.program, "--trust", self.trust, *more)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_keygen_sign_verify_and_show_go_together(site: Site) -> None:
    signed = site.sign()
    assert (signed.exit_code, "payments/api, embedded, until" in signed.output) == (0, True)
    verified = site.verify()
    assert verified.exit_code == 0
    assert verified.output.startswith("ok ")
    shown = run("show", site.program, "--trust", site.trust)
    assert shown.exit_code == 0
    assert "holds, by trust root payments" in shown.output
    assert load_public(site.key.with_name("key.pub")).key_id in shown.output


def test_verify_ends_1_with_the_reason_if_any_file_is_refused(site: Site, tmp_path: Path) -> None:
    site.sign("billing/api")
    result = run("verify", "/bin/true", site.program, "--trust", site.trust)
    assert result.exit_code == 1
    assert "[no-credential]" in result.output
    assert "[name-not-given]" in result.output


def test_verify_speaks_json(site: Site) -> None:
    site.sign()
    (good,) = json.loads(site.verify("-o", "json").output)
    assert (good["verified"], good["identity"], len(good["sha256"])) == (True, "payments/api", 64)
    site.program.write_bytes(site.program.read_bytes() + b"x")
    result = site.verify("-o", "json")
    (bad,) = json.loads(result.output)
    assert (result.exit_code, bad["verified"], bad["reason"]) == (1, False, "digest-mismatch")


def test_show_speaks_json_and_does_not_need_trust(site: Site) -> None:
    site.sign("payments/api", "--builder", "ci/7")
    content = json.loads(run("show", site.program, "-o", "json").output)
    assert (content["identity"], content["builder"], content["carrier"]) == (
        "payments/api",
        "ci/7",
        "embedded",
    )
    assert content["verdict"].startswith("not checked")


def test_show_reads_public_keys_and_detached_credentials(site: Site) -> None:
    assert "ed25519" in run("show", site.key.with_name("key.pub")).output
    site.sign("payments/api", "--detached")
    assert "detached credential" in run("show", f"{site.program}.menshen").output


def test_show_ends_1_where_there_is_no_credential_or_it_does_not_hold(site: Site) -> None:
    assert run("show", "/bin/true").exit_code == 1
    site.sign("billing/api")
    result = run("show", site.program, "--trust", site.trust)
    assert (result.exit_code, "refused: the key" in result.output) == (1, True)


def test_sign_writes_to_an_output_and_takes_away(site: Site, tmp_path: Path) -> None:
    output = tmp_path / "signed"
    assert site.sign("payments/api", "--output", output).exit_code == 0
    assert run("verify", output, "--trust", site.trust).exit_code == 0
    assert site.verify().exit_code == 1
    assert run("sign", "--remove", output).exit_code == 0
    assert output.read_bytes() == site.program.read_bytes()


def test_a_locked_key_is_opened_with_a_passphrase_file(site: Site, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("open sesame\n")
    locked = tmp_path / "locked"
    assert run("keygen", locked, "--algorithm", "p256", "--passphrase-file", secret).exit_code == 0
    command: list[str | Path] = ["sign", site.program, "--key", locked, "--as", "payments/api"]
    assert run(*command).exit_code == 2
    assert run(*command, "--passphrase-file", secret).exit_code == 0


def test_keygen_asks_for_a_passphrase(tmp_path: Path) -> None:
    assert run("keygen", tmp_path / "k", "--passphrase", given="a\na\n").exit_code == 0
    assert "ENCRYPTED" in (tmp_path / "k").read_text()


BAD_INPUT: list[list[str]] = [
    ["keygen", "KEY"],
    ["sign", "PROGRAM"],
    ["sign", "PROGRAM", "--key", "KEY"],
    ["sign", "PROGRAM", "--key", "PROGRAM", "--as", "payments/api"],
    ["sign", "PROGRAM", "--key", "missing", "--as", "payments/api"],
    ["sign", "missing", "--key", "KEY", "--as", "payments/api"],
    ["sign", "PROGRAM", "PROGRAM", "--key", "KEY", "--as", "payments/api", "--output", "x"],
    ["sign", "PROGRAM", "--key", "KEY", "--as", "Payments"],
    ["sign", "PROGRAM", "--key", "KEY", "--as", "payments/api", "--valid", "soon"],
    ["sign", "PROGRAM", "--key", "KEY", "--as", "payments/api", "--passphrase-file", "/dev/null"],
    ["verify", "PROGRAM", "--trust", "missing"],
    ["verify", "PROGRAM", "--trust", "KEY"],
    ["verify"],
    ["show", "missing"],
    ["enrol"],
    ["enrol", "PROGRAM"],
    ["enrol", "PROGRAM", "--packages"],
    ["enrol", "PROGRAM", "--as", "os/bash", "--dry-run"],
    ["enrol", "missing", "--as", "payments/api", "--dry-run"],
    ["enrol", "PROGRAM", "--as", "payments/api", "--catalogue", "KEY"],
    ["enrol", "PROGRAM", "--as", "payments/api", "--catalogue", "/proc/nowhere/catalogue"],
    ["enrol", "--packages", "--root", "missing"],
]


@pytest.mark.parametrize("words", BAD_INPUT, ids=" ".join)
def test_bad_input_ends_2_with_a_sentence_and_no_traceback(site: Site, words: list[str]) -> None:
    places = {"PROGRAM": str(site.program), "KEY": str(site.key), "missing": str(site.key.parent / "missing")}
    result = run(*(places.get(word, word) for word in words))
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert len(result.output) > 20


def test_enrol_puts_digests_into_the_catalogue(site: Site) -> None:
    to = ("--catalogue", site.catalogue)
    result = run("enrol", site.program, "--as", "payments/api", "--reason", "vendor", "--valid", "90d", *to)
    assert (result.exit_code, "1 files enrolled as payments/api" in result.output) == (0, True)
    (entry,) = catalogue_file.load(site.catalogue)
    assert (entry.source, entry.evidence, bool(entry.by)) == (Source.ENROLLED, "vendor", True)
    assert entry.expires is not None
    other = run("enrol", site.program, "--as", "web/shop", *to, "-o", "json")
    assert other.exit_code == 1
    assert "is not taken" in json.loads(other.output)["conflicts"][0]


@pytest.fixture
def debian(tmp_path: Path) -> Debian:
    made = Debian(tmp_path / "root")
    made.package("hello", {"/usr/bin/hello": SCRIPT, "/usr/bin/changed": SCRIPT + b"1"})
    made.package("twin", {"/usr/bin/twin": SCRIPT})
    made.write()
    return made


def test_enrol_packages_sums_up_what_was_verified_and_what_could_not_be(debian: Debian) -> None:
    result = run("enrol", "--packages", "--root", debian.root)
    assert result.exit_code == 0, result.output
    assert "3  files checked against unsigned md5sums only" in result.output
    assert "1  files with the same bytes as another package's" in result.output
    assert "apt-get update" in result.output
    assert len(catalogue_file.load(debian.root / "var/lib/menshen/catalogue")) == 2


def test_enrol_packages_ends_1_if_a_file_was_refused_and_enrols_the_rest(debian: Debian) -> None:
    debian.file("/usr/bin/changed", b"#!/bin/sh\nevil\n")
    result = run("enrol", "--packages", "--root", debian.root)
    assert result.exit_code == 1
    assert "refused: /usr/bin/changed (hello): it differs" in result.output
    spoken = run("enrol", "--packages", "--root", debian.root, "-o", "json", "--dry-run")
    assert json.loads(spoken.output)["refused"][0]["path"] == "/usr/bin/changed"
    assert len(catalogue_file.load(debian.root / "var/lib/menshen/catalogue")) == 1


def test_enrolling_packages_anew_forgets_what_is_no_longer_installed(debian: Debian) -> None:
    run("enrol", "--packages", "--root", debian.root)
    debian.status.pop(0)
    debian.write()
    run("enrol", "--packages", "--root", debian.root)
    (entry,) = catalogue_file.load(debian.root / "var/lib/menshen/catalogue")
    assert entry.identity == "os/twin"


def test_what_could_steer_a_terminal_is_written_out() -> None:
    assert display.shown("a\x1b[31m\u202eb\nc\udc80") == "a\\x1b[31m\\u202eb\nc\\udc80"


def test_progress_is_told_in_lines_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(display, "_QUIET_SECONDS", 0.0)
    with display.reporting() as progress:
        for step in range(5):
            progress("counting", step, 5)
            progress("weighing", step, None)
    shown = capsys.readouterr().err
    assert "counting" in shown
    assert "weighing" in shown


def test_progress_is_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "_QUIET_SECONDS", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with display.reporting() as progress:
        progress("counting", 1, 5)


def test_help_answers_without_importing_cryptography_or_yaml() -> None:
    heavy = ("cryptography", "yaml", "rich", "numpy")
    code = f"import sys, identity.cli; sys.exit(any(name in sys.modules for name in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_identity_imports_no_other_package_of_ours() -> None:
    folder = Path(display.__file__).parent
    others = ("enforcer", "policies", "bpf_lsm", "detect", "tui")
    for path in folder.glob("*.py"):
        for line in path.read_text().splitlines():
            words = line.split()
            if words[:1] in (["import"], ["from"]):
                assert words[1].split(".")[0] not in others, f"{path}: {line}"
