"""`menshen identity`: make keys, sign, verify, show, enrol. Exit status 0 done, 1 refused, 2 bad input."""

# ruff: noqa: PLC0415 -- cryptography and yaml are imported by the commands that need them: --help answers at once

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from identity.cli_enrol import enrol
from identity.display import REFUSED, pairs, say, say_json, shown, tells_errors
from identity.errors import IdentityError

if TYPE_CHECKING:
    from identity.keys import PrivateKey
    from identity.trust import Trust
    from identity.verify import Refused, Verified

DEFAULT_TRUST = Path("/etc/menshen/trust")

FILE = click.Path(path_type=Path)
json_option = click.option(
    "-o", "output_format", type=click.Choice(["text", "json"]), default="text", help="Form of output."
)
trust_option = click.option(
    "--trust",
    "trust_paths",
    type=FILE,
    multiple=True,
    help=f"Trust root file or directory [{DEFAULT_TRUST}].",
)


@click.group()
def identity() -> None:
    """Say who programs are, with credentials that can be checked."""


@identity.command()
@click.argument("path", type=FILE)
@click.option("--algorithm", type=click.Choice(["ed25519", "p256"]), default="ed25519", show_default=True)
@click.option(
    "--passphrase", "ask", is_flag=True, help="Ask for a passphrase and lock the private key with it."
)
@click.option("--passphrase-file", type=FILE, help="Lock the private key with the first line of this file.")
@tells_errors
def keygen(path: Path, algorithm: str, ask: bool, passphrase_file: Path | None) -> None:
    """Make a key pair: the private key in PATH (mode 0600), the public one in PATH.pub."""
    from identity import keys

    passphrase = _passphrase(passphrase_file)
    if ask and passphrase is None:
        passphrase = str(click.prompt("Passphrase", hide_input=True, confirmation_prompt=True)).encode()
    made = keys.generate(keys.Algorithm(algorithm))
    public = keys.save_pair(made, path, passphrase)
    pairs([("private key", f"{path}"), ("public key", f"{public}"), ("key id", made.public.key_id)])


@identity.command()
@click.argument("files", type=FILE, nargs=-1, required=True)
@click.option("--key", "key_path", type=FILE, help="The private key.")
@click.option("--as", "name", help="The identity that the files are given, like payments/api.")
@click.option("--valid", default="365d", show_default=True, help="How long the credential holds.")
@click.option("--builder", default="", help="What built it: a pipeline's name and number, for people.")
@click.option(
    "--detached", is_flag=True, help="Put the credential beside the file even if it is an ELF file."
)
@click.option("--output", type=FILE, help="Write the signed file (or the detached credential) here.")
@click.option("--passphrase-file", type=FILE, help="The key's passphrase is the first line of this file.")
@click.option("--remove", is_flag=True, help="Take the files' credentials away instead.")
@tells_errors
def sign(
    *,
    files: tuple[Path, ...],
    key_path: Path | None,
    name: str | None,
    valid: str,
    builder: str,
    detached: bool,
    output: Path | None,
    passphrase_file: Path | None,
    remove: bool,
) -> None:
    """Give FILES an identity: inside an ELF file, beside anything else (FILE.menshen)."""
    from identity.sign import sign_file, unsign_file
    from identity.times import format_time, parse_span

    if remove:
        for file in files:
            say(f"{file}: {'credential taken away' if unsign_file(file) else 'it has no credential'}")
        return
    if key_path is None or name is None:
        raise click.UsageError("sign needs --key and --as (or --remove)")
    if output is not None and len(files) > 1:
        raise click.UsageError("--output goes with one file")
    now = int(time.time())
    key = _load_key(key_path, passphrase_file)
    for file in files:
        made = sign_file(
            file,
            key,
            name,
            issued=now,
            expires=now + parse_span(valid),
            builder=builder,
            detached=detached,
            output=output,
        )
        say(f"{made.path}: {name}, {made.carrier}, until {format_time(made.claim.expires)}")


@identity.command()
@click.argument("files", type=FILE, nargs=-1, required=True)
@trust_option
@json_option
@tells_errors
def verify(files: tuple[Path, ...], trust_paths: tuple[Path, ...], output_format: str) -> None:
    """Check the credentials of FILES against the trust roots. Exit status 1 if any is refused."""
    from identity.scan import last_change
    from identity.verify import Refused, verify_file

    known = _trust(trust_paths)
    verdicts = [verify_file(file, known, reached=last_change(file)) for file in files]
    if output_format == "json":
        say_json([verdict_json(verdict) for verdict in verdicts])
    else:
        for verdict in verdicts:
            say(_verdict_line(verdict))
    if any(isinstance(verdict, Refused) for verdict in verdicts):
        sys.exit(REFUSED)


@identity.command()
@click.argument("file", type=FILE)
@trust_option
@json_option
@tells_errors
def show(file: Path, trust_paths: tuple[Path, ...], output_format: str) -> None:
    """Show what FILE's credential claims, and whether it holds. FILE may also be a public key."""
    from identity.describe import describe

    content = describe(file)
    if content is None:
        say(f"{file}: it carries no credential, and there is none beside it", error=True)
        sys.exit(REFUSED)
    refused = False
    if content.get("kind") == "credential":
        refused = _add_verdict(content, file, trust_paths)
    if output_format == "json":
        say_json(content)
    else:
        pairs((name, str(value)) for name, value in content.items())
    if refused:
        sys.exit(REFUSED)


def _add_verdict(content: dict[str, Any], file: Path, trust_paths: tuple[Path, ...]) -> bool:
    from identity.scan import last_change
    from identity.verify import Refused, verify_file

    if not trust_paths and not DEFAULT_TRUST.exists():
        content["verdict"] = f"not checked: there are no trust roots in {DEFAULT_TRUST}, and no --trust"
        return False
    verdict = verify_file(file, _trust(trust_paths), reached=last_change(file))
    if isinstance(verdict, Refused):
        content |= {"verdict": f"refused: {verdict.sentence}", "reason": verdict.reason.value}
        return True
    content |= {"verdict": f"holds, by trust root {verdict.root}"}
    return False


def verdict_json(verdict: Verified | Refused) -> dict[str, Any]:
    """A verdict for programs."""
    from identity.times import format_time
    from identity.verify import Refused

    if isinstance(verdict, Refused):
        sentence, reason = shown(verdict.sentence), verdict.reason.value
        return {"path": str(verdict.path), "verified": False, "reason": reason, "sentence": sentence}
    return {
        "path": str(verdict.path),
        "verified": True,
        "identity": verdict.identity,
        "carrier": verdict.carrier.value,
        "sha256": verdict.file_digest.hex(),
        "signed_sha256": verdict.signed_digest.hex(),
        "statement": verdict.statement_digest.hex(),
        "key_id": verdict.key_id,
        "root": verdict.root,
        "issued": format_time(verdict.issued),
        "expires": format_time(verdict.expires),
        "builder": verdict.builder,
    }


def _verdict_line(verdict: Verified | Refused) -> str:
    from identity.times import format_time
    from identity.verify import Refused

    if isinstance(verdict, Refused):
        return f"REFUSED  {verdict} [{verdict.reason}]"
    return f"ok       {verdict.path}: {verdict.identity}, until {format_time(verdict.expires)}"


def _trust(paths: tuple[Path, ...]) -> Trust:
    from identity import trust_file

    return trust_file.load(paths or (DEFAULT_TRUST,))


def _load_key(path: Path, passphrase_file: Path | None) -> PrivateKey:
    from identity import keys

    passphrase = _passphrase(passphrase_file)
    try:
        return keys.load_private(path, passphrase)
    except IdentityError as error:
        if passphrase is not None or "needs a passphrase" not in error.message or not sys.stdin.isatty():
            raise
    return keys.load_private(path, str(click.prompt("Passphrase", hide_input=True)).encode())


def _passphrase(path: Path | None) -> bytes | None:
    from identity.files import read_limited

    if path is None:
        return None
    line = read_limited(path, 4096, "passphrase file").split(b"\n")[0]
    if not line:
        raise IdentityError(f"passphrase file {path} begins with an empty line")
    return line


identity.add_command(enrol)
