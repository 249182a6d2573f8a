"""`python -m tests.guest`: what `make guest` calls."""

from __future__ import annotations

from tests.guest.cli import main

if __name__ == "__main__":
    main(prog_name="python -m tests.guest")
