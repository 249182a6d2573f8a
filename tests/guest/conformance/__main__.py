"""`python -m tests.guest.conformance INTO --ltp TREE`: builds the suites outside of the repository."""

from __future__ import annotations

from pathlib import Path

import click

from tests.guest import cache, kernels
from tests.guest.conformance import build


@click.command()
@click.argument("into", type=click.Path(file_okay=False, path_type=Path))
@click.option("--ltp", type=click.Path(exists=True, file_okay=False, path_type=Path), help="A tree of LTP.")
@click.option("--kernels", "names", default=",".join(kernels.NAMES), show_default=True)
def main(into: Path, ltp: Path | None, names: str) -> None:
    """Builds Landlock's selftests of each kernel, and LTP's groups from a tree of LTP, below INTO."""
    into = into.resolve()
    if into.is_relative_to(cache.REPOSITORY):
        raise click.UsageError(f"{into} is in the repository: name a folder elsewhere")
    for name in names.split(","):
        build.landlock(name, into / "landlock" / name)
    if ltp is not None:
        build.ltp(ltp.resolve(), into / "ltp")
    click.echo(f"MENSHEN_CONFORMANCE={into} names it to the tests")


if __name__ == "__main__":
    main(prog_name="python -m tests.guest.conformance")
