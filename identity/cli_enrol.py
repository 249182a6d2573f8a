"""`menshen identity enrol`: the distribution's packages, and software that an administrator vouches for."""

# ruff: noqa: PLC0415 -- what the command needs is imported when it runs

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from identity.display import REFUSED, reporting, say, say_json, table, tells_errors
from identity.errors import IdentityError

if TYPE_CHECKING:
    from identity.catalogue import Conflict
    from identity.packages import Report

CATALOGUE = Path("/var/lib/menshen/catalogue")
_FILE = click.Path(path_type=Path)
_LISTED = 50


@click.command()
@click.argument("paths", type=_FILE, nargs=-1)
@click.option("--as", "name", help="The identity for PATHS, like payments/api.")
@click.option("--packages", is_flag=True, help="Enrol the distribution's own programs as os/<package>.")
@click.option(
    "--root", type=_FILE, default=Path("/"), help="An offline tree instead of this host, for --packages."
)
@click.option(
    "--debs", type=_FILE, multiple=True, help="A directory of .debs to check against, beside apt's cache."
)
@click.option(
    "--keyring", type=_FILE, multiple=True, help="An archive keyring instead of the distribution's."
)
@click.option("--catalogue", type=_FILE, help=f"The catalogue to write [{CATALOGUE}, below --root].")
@click.option("--reason", default="", help="Why PATHS are vouched for; kept in the catalogue.")
@click.option("--valid", help="How long PATHS keep the identity, like 90d; for good without it.")
@click.option("--reserved", is_flag=True, help="Allow a name under os/ or menshen/ for PATHS.")
@click.option("--dry-run", is_flag=True, help="Check everything, write nothing.")
@click.option(
    "-o", "output_format", type=click.Choice(["text", "json"]), default="text", help="Form of output."
)
@tells_errors
def enrol(
    *,
    paths: tuple[Path, ...],
    name: str | None,
    packages: bool,
    root: Path,
    debs: tuple[Path, ...],
    keyring: tuple[Path, ...],
    catalogue: Path | None,
    reason: str,
    valid: str | None,
    reserved: bool,
    dry_run: bool,
    output_format: str,
) -> None:
    """Put digests into the catalogue: of PATHS as NAME, or of all installed packages.

    Exit status 1 if anything was refused; the rest is enrolled all the same.
    """
    if packages == bool(paths):
        raise click.UsageError("give PATHS and --as NAME, or --packages")
    target = catalogue if catalogue is not None else root / str(CATALOGUE).lstrip("/")
    written = None if dry_run else target
    if packages:
        whole = _packages(root, debs, keyring, written, output_format)
    elif name is None:
        raise click.UsageError("PATHS need a name: --as NAME")
    else:
        vouched = {"reason": reason, "expires": _expiry(valid), "reserved": reserved}
        whole = _local(paths, name, vouched, written, output_format)
    if not whole:
        sys.exit(REFUSED)


def _local(
    paths: tuple[Path, ...],
    name: str,
    vouched: dict[str, Any],
    target: Path | None,
    output_format: str,
) -> bool:
    from identity.catalogue import Source
    from identity.enrol import enrol as enrol_paths
    from identity.enrol import who

    with reporting() as progress:
        entries = enrol_paths(paths, name, by=who(), progress=progress, **vouched)
    conflicts = _write(target, entries, None)
    if output_format == "json":
        say_json(
            {
                "source": Source.ENROLLED.value,
                "identity": name,
                "enrolled": len(entries) - len(conflicts),
                "conflicts": [str(conflict) for conflict in conflicts],
            }
        )
    else:
        say(f"{len(entries) - len(conflicts)} files enrolled as {name}" + _where(target))
        for conflict in conflicts:
            say(f"not enrolled: {conflict}")
    return not conflicts


def _packages(
    root: Path, debs: tuple[Path, ...], keyrings: tuple[Path, ...], target: Path | None, output_format: str
) -> bool:
    from identity import packages
    from identity.catalogue import Source

    with reporting() as progress:
        report = packages.enrol(root, debs=debs, keyrings=keyrings or None, progress=progress)
    conflicts = _write(target, report.entries, Source.PACKAGE)
    if output_format == "json":
        say_json(_report_json(report, conflicts))
    else:
        _tell(report, conflicts, target)
    return not report.refused


def _expiry(valid: str | None) -> int | None:
    from identity.times import parse_span

    return None if valid is None else int(time.time()) + parse_span(valid)


def _write(target: Path | None, entries: list[Any], instead_of: Any) -> list[Conflict]:
    from identity import catalogue_file
    from identity.catalogue import Catalogue

    if target is None:
        return Catalogue().merge(entries)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with catalogue_file.editing(target) as catalogue:
            if instead_of is not None:
                catalogue.drop_source(instead_of)
            return catalogue.merge(entries)
    except OSError as error:
        raise IdentityError(f"cannot write the catalogue {target}: {error.strerror}") from None


def _tell(report: Report, conflicts: list[Conflict], target: Path | None) -> None:
    from identity.packages import Witness

    say(f"{report.packages} packages with programs, scripts or libraries:")
    table(
        [
            (report.checked[Witness.SIGNED], "files verified against signed metadata"),
            (report.checked[Witness.MD5SUMS], "files checked against unsigned md5sums only"),
            (len(report.refused), "files refused: not what their package brought"),
            (len(report.uncovered), "files not covered: nothing vouches for them"),
            (report.conffiles, "configuration files that are scripts: skipped"),
            (len(conflicts), "files with the same bytes as another package's: one name kept"),
        ]
    )
    if report.unsigned:
        say("packages not verified against signed metadata:")
        table([(number, why) for why, number in report.unsigned.most_common()])
    for problem in report.problems:
        say(f"signed metadata: {problem}")
    for title, faults in (("refused", report.refused), ("not covered", report.uncovered)):
        for fault in faults[:_LISTED]:
            say(f"{title}: {fault.path} ({fault.package}): {fault.why}")
        if len(faults) > _LISTED:
            say(f"{title}: and {len(faults) - _LISTED} more; -o json lists all")
    say(f"{len(report.entries)} files have an identity" + _where(target))


def _report_json(report: Report, conflicts: list[Conflict]) -> dict[str, Any]:
    def faults(many: list[Any]) -> list[dict[str, str]]:
        return [{"path": one.path, "package": one.package, "why": one.why} for one in many]

    return {
        "packages": report.packages,
        "files": {str(witness): number for witness, number in report.checked.items()},
        "refused": faults(report.refused),
        "uncovered": faults(report.uncovered),
        "conffiles": report.conffiles,
        "not_signed": dict(report.unsigned),
        "releases": list(report.releases),
        "problems": list(report.problems),
        "conflicts": [str(conflict) for conflict in conflicts],
    }


def _where(target: Path | None) -> str:
    return " (dry run: nothing written)" if target is None else f" in {target}"
