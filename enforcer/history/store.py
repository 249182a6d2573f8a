"""Opening the store for a command, with errors that say what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from enforcer.escape import escape
from enforcer.places import Places

if TYPE_CHECKING:
    from detect.store.history import History


def store_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--store DIR`."""
    return click.option(
        "--store",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="MENSHEN_STORE",
        help="The folder of the store. Default: /var/lib/menshen/events",
    )(command)


def open_history(folder: Path | None) -> History:
    """The store as it is now. click.ClickException if there is none, or this user may not read it."""
    from detect.store.history import History, StoreError  # noqa: PLC0415 - numpy and pyarrow

    folder = folder or Places().observed
    try:
        return History(folder)
    except PermissionError:
        raise click.ClickException(f"{folder} may not be read\n  the store is root's: use sudo") from None
    except StoreError as error:
        hint = "the watch writes it: is `menshen watch` running, with store: true in watch.yaml?"
        raise click.ClickException(f"{error}\n  {hint}") from None


def session_number(text: str) -> int:
    """A session as it is shown: hexadecimal, with or without 0x. click.BadParameter."""
    try:
        number = int(text, 16)
    except ValueError:
        number = -1
    if not 0 <= number < 1 << 64:
        raise click.BadParameter(f"{escape(text)!r} is no session: hexadecimal digits, as events show it")
    return number


def tell_skipped(history: History) -> None:
    """Say on standard error what could not be read."""
    for text in dict.fromkeys(history.skipped):
        click.echo(f"{click.style('warning', fg='yellow')}: {escape(text)}", err=True)
