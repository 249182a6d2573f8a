"""`menshen enrol-self`: at installation, and after each upgrade."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command("enrol-self")
@click.option("--service", is_flag=True, help="Also install the systemd unit and make the group menshen.")
@click.option(
    "--initramfs",
    is_flag=True,
    help="Also have initramfs-tools start the gate before the system: then update-initramfs -u.",
)
@click.option("--prefix", type=click.Path(path_type=Path), default=Path(sys.prefix), hidden=True)
@click.option("--root", type=click.Path(path_type=Path), default=Path("/"), hidden=True)
def enrol_self(*, service: bool, initramfs: bool, prefix: Path, root: Path) -> None:
    """Write Menshen's own launchers and put them and its libraries into the catalogue.

    To be run once after installing and after each upgrade. `menshen reload` tells a running agent.
    """
    from enforcer.enrolment import enrol_self as work  # noqa: PLC0415
    from enforcer.errors import EnforcerError  # noqa: PLC0415
    from enforcer.places import Places  # noqa: PLC0415
    from identity.errors import IdentityError  # noqa: PLC0415

    try:
        done = work(Places(root), prefix, service=service, initramfs=initramfs)
    except (EnforcerError, IdentityError) as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from None
    for path in done.launchers:
        click.echo(f"enrolled {path}")
    click.echo(f"enrolled {done.libraries} libraries as menshen/lib")
    for unit in done.units:
        click.echo(f"unit {unit}: systemctl enable --now {unit.stem}")
    for script in done.scripts:
        click.echo(f"wrote {script}")
    if done.scripts:
        click.echo("it counts from the next initramfs on: update-initramfs -u")
    for note in done.notes:
        click.echo(note)
