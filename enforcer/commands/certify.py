"""`menshen certify`: state by replay that a sequence has no match in a benign history, or take that back."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from enforcer.errors import EnforcerError
from enforcer.escape import escape
from enforcer.history.store import open_history, store_option
from enforcer.places import Places
from identity.errors import IdentityError

if TYPE_CHECKING:
    from detect.alert import Alert
    from detect.sequences.measure import Measured
    from identity.certificate import Figures
    from policies.sequence import Sequence

WEEK: Final = 7 * 24.0
MOST_LOST: Final = 1e-3
"""Share of a history's events that may have been lost."""

_FILE = click.Path(path_type=Path, dir_okay=False)
_PATHS = click.Path(path_type=Path, exists=True)


@click.command()
@click.argument("sequence")
@click.option("--from", "paths", type=_PATHS, multiple=True, help="Files and folders with sequences.")
@click.option(
    "--rules", type=_PATHS, multiple=True, help="Files and folders with rules, beside the shipped ones."
)
@store_option
@click.option("--key", type=_FILE, help="The private key that signs; without it the figures are only shown.")
@click.option("--passphrase-file", type=_FILE, help="The key's passphrase is the first line of this file.")
@click.option("--hours", type=click.FloatRange(0, min_open=True), default=WEEK, show_default=True,
              help="So many hours of history at least.")  # fmt: skip
@click.option("--benign", multiple=True, metavar="NAME",
              help="Alerts of this rule or sequence are known to be benign; repeatable.")  # fmt: skip
@click.option("--valid", default="365d", show_default=True, help="How long the certificate holds.")
@click.option("--output", type=_FILE, help="Write the certificate here, not to /etc/menshen/certificates.")
@click.option("--document", type=_FILE,
              help="Write the sequence here with mode: block, for menshen policy apply.")  # fmt: skip
@click.option("--revoke", is_flag=True, help="Take the certificate back: it blocked what it should not have.")
@click.option("--reason", help="Why it is taken back.")
@click.option("-o", "output_format", type=click.Choice(["text", "json"]), default="text")
@click.pass_obj
def certify(
    socket: Path | None,
    *,
    sequence: str,
    paths: tuple[Path, ...],
    rules: tuple[Path, ...],
    store: Path | None,
    key: Path | None,
    passphrase_file: Path | None,
    hours: float,
    benign: tuple[str, ...],
    valid: str,
    output: Path | None,
    document: Path | None,
    revoke: bool,
    reason: str | None,
    output_format: str,
) -> None:
    """Replay SEQUENCE over the recorded history of a host that nobody attacked meanwhile.

    Refused if it comes true there, by its tags or as the kernel would follow it; if the history is too short
    or has holes; or if something else in it gives an alert of level high or above, which is no benign history
    unless --benign says so. With --revoke: it goes back to alert at once.
    """
    try:
        if revoke:
            _revoke(sequence, reason, socket)
            return
        found = _find(sequence, paths)
        replayed = _replay(found, rules, store)
        refusals = _refusals(found, replayed, hours, benign)
        _show(found, replayed, refusals, output_format)
        if refusals:
            raise SystemExit(1)
        if key is not None:
            _sign(found, replayed.measured, key=key, passphrase=passphrase_file, valid=valid, output=output)
        if document is not None:
            _write_document(found, document)
    except IdentityError as error:
        raise click.ClickException(escape(str(error))) from None


def _find(name: str, paths: tuple[Path, ...]) -> Sequence:
    from detect.sequences.library import SEQUENCES  # noqa: PLC0415
    from policies import load_paths  # noqa: PLC0415
    from policies.errors import PolicyErrors  # noqa: PLC0415
    from policies.suggest import nearest  # noqa: PLC0415

    places = [*paths] or [path for path in (SEQUENCES, Path("/etc/menshen/sequences")) if path.exists()]
    try:
        found = {each.name: each for each in load_paths(places).sequences}
    except PolicyErrors as errors:
        raise click.ClickException(escape(errors.render())) from None
    if name not in found:
        near = ", ".join(nearest(name, found)) or ", ".join(sorted(found)) or "none"
        raise click.ClickException(
            f"there is no sequence {escape(name)}\n  those that are near: {escape(near)}"
        )
    return found[name]


@dataclass(frozen=True, slots=True)
class Replayed:
    """What the sequence did in the history, and what else there was."""

    measured: Measured
    alerts: Mapping[str, int]
    """Of level high and above, by the rule or the other sequence."""
    unread: tuple[str, ...] = ()
    """Parts of the history that could not be read."""


def _replay(sequence: Sequence, rules: tuple[Path, ...], store: Path | None) -> Replayed:
    from detect.alert import Level  # noqa: PLC0415
    from detect.rules.engine import RuleEngine  # noqa: PLC0415
    from detect.rules.library import RULES  # noqa: PLC0415
    from detect.rules.parse import load  # noqa: PLC0415
    from detect.sequences import SequenceEngine  # noqa: PLC0415
    from detect.sequences.library import shipped  # noqa: PLC0415
    from detect.sequences.measure import measure  # noqa: PLC0415
    from policies.errors import PolicyErrors  # noqa: PLC0415
    from policies.sequence import unknown_tags  # noqa: PLC0415

    engine = RuleEngine(load([RULES, *rules]))
    if errors := list(unknown_tags([sequence], engine.tags)):
        raise click.ClickException(escape(PolicyErrors.of(errors).render()))
    history = open_history(store)
    others = SequenceEngine([each for each in shipped() if each.name != sequence.name], engine.tags)
    alerts: Counter[str] = Counter()

    def note(found: Iterable[Alert]) -> None:
        alerts.update(each.name for each in found if each.level >= Level.HIGH)

    def tagged() -> Iterator[tuple[str, Any, Any]]:
        for boot, batch in history.replay():
            found = engine.match(batch)
            note((*engine.alerts(batch, found), *others.feed(batch, found)))
            yield boot, batch, found

    measured = measure(sequence, tagged(), engine.tags)
    note(others.drain())
    return Replayed(measured, alerts, tuple(history.skipped))


def _refusals(sequence: Sequence, replayed: Replayed, hours: float, benign: tuple[str, ...]) -> list[str]:
    from detect.sequences.measure import HOUR  # noqa: PLC0415
    from detect.sequences.shadow import unrecorded  # noqa: PLC0415
    from enforcer import settings as settings_file  # noqa: PLC0415
    from enforcer.watch.detections import reads_of  # noqa: PLC0415
    from enforcer.watch.settings import WatchSettings  # noqa: PLC0415

    measured, found = replayed.measured, []
    reads = reads_of(settings_file.load(Places().watch_settings, WatchSettings))
    if unseen := unrecorded(sequence, reads):
        found.append(
            f"no history tells of reading {escape(', '.join(unseen))}: the watch does not record it "
            "(reads in watch.yaml: a path, a name, or a folder with / at its end)"
        )
    if unable := [step.name for step in sequence.steps if step.kernel is None]:
        found.append(f"the kernel could not follow it: no kernel form in {', '.join(unable)}")
    if measured.found:
        found.append("it comes true in a history that is taken to be benign")
    if measured.host_time < hours * HOUR:
        found.append(
            f"the history has {measured.host_time / HOUR:.1f} hours, and {hours:g} are needed (--hours)"
        )
    if measured.lost > measured.events * MOST_LOST:
        found.append(f"{measured.lost} events of the history were lost, more than one in a thousand")
    if grave := {name: count for name, count in replayed.alerts.items() if name not in benign}:
        named = ", ".join(f"{escape(name)} {count}" for name, count in sorted(grave.items()))
        found.append(
            f"the history is not benign by itself, it has alerts of level high or above: {named} "
            "(--benign NAME for those that are known to be)"
        )
    if replayed.unread:
        found.append(
            f"not all of the history can be read: {escape('; '.join(dict.fromkeys(replayed.unread)))}"
        )
    return found


def _show(sequence: Sequence, replayed: Replayed, refusals: list[str], output_format: str) -> None:
    from dataclasses import asdict  # noqa: PLC0415

    from detect.sequences.measure import HOUR  # noqa: PLC0415
    from identity.display import pairs  # noqa: PLC0415

    measured = replayed.measured
    figures = _figures(measured)
    if output_format == "json":
        said = {"sequence": sequence.name, "digest": sequence.digest.hex(), **asdict(figures)}
        bounds = {"per_host_hour": measured.bound(measured.host_time)}
        said["alerts"] = dict(replayed.alerts)
        bounds["per_session_hour"] = measured.bound(measured.session_time)
        click.echo(json.dumps({**said, **bounds, "certifiable": not refusals, "refused": refusals}))
        return
    host, sessions = measured.host_time / HOUR, measured.session_time / HOUR
    pairs(
        [
            ("sequence", f"{sequence.name} ({sequence.place.path}:{sequence.place.line})"),
            ("history", f"{measured.events} events, {measured.lost} lost, {measured.boots} boots"),
            ("host-hours", f"{host:.1f}"),
            ("session-hours", f"{sessions:.1f} in {measured.sessions} sessions"),
            ("matches", f"{len(measured.matches)} by tags, {len(measured.blocks)} as the kernel follows it"),
            ("other alerts", f"{sum(replayed.alerts.values())} of level high or above"),
            ("95 % bound", f"{_rate(measured.bound(measured.host_time))} a host-hour, "
                           f"{_rate(measured.bound(measured.session_time))} a session-hour"),
        ]
    )  # fmt: skip
    for alert in measured.matches[:10]:
        last = alert.chain[-1].event
        click.echo(
            escape(f"match: session {alert.session:x}, {last['exe']} {last['path']} port {last['port']}")
        )
    for event in measured.blocks[:10]:
        click.echo(escape(f"would be denied: {event['exe']} {event['path']} port {event['port']}"))
    for refusal in refusals:
        click.echo(f"{click.style('refused', fg='red')}: {refusal}", err=True)


def _rate(bound: float) -> str:
    return f"{bound:.3g}"


def _figures(measured: Measured) -> Figures:
    from detect.sequences.measure import HOUR  # noqa: PLC0415
    from identity.certificate import Figures  # noqa: PLC0415

    return Figures(
        events=measured.events,
        lost=measured.lost,
        host_millihours=measured.host_time * 1000 // HOUR,
        session_millihours=measured.session_time * 1000 // HOUR,
        sessions=measured.sessions,
        boots=measured.boots,
        matches=len(measured.matches),
        blocks=len(measured.blocks),
        history=measured.history,
    )


def _sign(
    sequence: Sequence,
    measured: Measured,
    *,
    key: Path,
    passphrase: Path | None,
    valid: str,
    output: Path | None,
) -> None:
    from enforcer import certificates  # noqa: PLC0415
    from identity import certificate, keys  # noqa: PLC0415
    from identity.files import read_limited, write_atomically  # noqa: PLC0415
    from identity.times import parse_span  # noqa: PLC0415

    secret = read_limited(passphrase, 4096, "passphrase file").split(b"\n")[0] if passphrase else None
    now = int(time.time())
    made = certificate.Certificate(
        sequence.name, sequence.digest, now, now + parse_span(valid), _figures(measured)
    )
    content = certificate.seal(made, keys.load_private(key, secret))
    try:
        if output is None:
            output = certificates.keep(Places().certificates, sequence.name, content)
        else:
            write_atomically(output, content)
    except OSError as error:
        raise click.ClickException(f"the certificate cannot be written: {error.strerror}") from None
    click.echo(f"{output}: {sequence.name} may block where this key is trusted to certify")
    if fault := certificates.fault(content, Places().trust):
        click.echo(f"{click.style('not on this host', fg='yellow')}: {escape(fault)}", err=True)


def _write_document(sequence: Sequence, path: Path) -> None:
    from identity.files import write_atomically  # noqa: PLC0415
    from policies.blocking import to_block  # noqa: PLC0415

    try:
        text = to_block(Path(sequence.place.path).read_text(), sequence)
        write_atomically(path, text.encode())
    except OSError as error:
        raise click.ClickException(f"the document cannot be written: {error.strerror}") from None
    except ValueError as error:
        raise click.ClickException(escape(str(error))) from None
    click.echo(f"{path}: to have it block: menshen policy apply {path}")


def _revoke(name: str, reason: str | None, socket: Path | None) -> None:
    from enforcer import certificates  # noqa: PLC0415
    from enforcer.api import menshen_pb2 as pb  # noqa: PLC0415
    from enforcer.client import agent  # noqa: PLC0415

    if not reason:
        raise click.UsageError("--revoke needs --reason: what was denied that should not have been")
    try:
        certificates.revoke(Places().certificates, name, reason)
    except OSError as error:
        raise click.ClickException(f"the revocation cannot be written: {error.strerror}") from None
    click.echo(f"{name} is revoked")
    try:
        with agent(socket) as stub:
            stub.Reload(pb.ReloadRequest(), timeout=600)
    except EnforcerError as error:
        raise click.ClickException(
            f"the agent was not told, it counts from its next start: {error}"
        ) from None
    click.echo("the agent has put it back to alert")
