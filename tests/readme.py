"""`python -m tests.readme`: puts the table of the last `make demo` (build/demo.txt) into README.md."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
RUN = ROOT / "build/demo.txt"
BEGIN = "<!-- demo: written by `python -m tests.readme` from build/demo.txt -->"
END = "<!-- demo: end -->"


def filled(page: str, run: str) -> str:
    """The page with the run's table between the marks; ValueError if it has none, or the run did not pass."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has no marked block")
    lines = [line.rstrip() for line in run.strip("\n").splitlines()]
    if not lines or not lines[-1].startswith("PASS"):
        raise ValueError("that run did not pass")
    return "\n".join([head + BEGIN, "", "```text", *lines, "```", "", END + tail])


def main() -> int:
    """0 if README.md has the table now."""
    try:
        README.write_text(filled(README.read_text(), RUN.read_text()))
    except (OSError, ValueError) as error:
        print(f"readme: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
