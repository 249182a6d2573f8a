"""`python -m policies.compile FILE... -o image.bin`: for tests and for the curious."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from policies.compile.compiler import DEFAULT_CAPACITY, compile_documents
from policies.errors import PolicyErrors
from policies.parse import load_paths


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line, for tests and for the curious."""
    parser = argparse.ArgumentParser(prog="python -m policies.compile", description=__doc__)
    parser.add_argument("files", nargs="+", help="policy files, or folders of them")
    parser.add_argument("-o", "--output", required=True, type=Path, help="where the image goes")
    parser.add_argument("--capacity", type=int, default=DEFAULT_CAPACITY, help="bytes an image may have")
    chosen = parser.parse_args(arguments)
    try:
        compiled = compile_documents(load_paths(chosen.files), capacity=chosen.capacity)
    except PolicyErrors as errors:
        print(errors.render(), file=sys.stderr)
        return 1
    chosen.output.write_bytes(compiled.image)
    print(
        f"{chosen.output}: {len(compiled.image)} bytes, {len(compiled.rules)} rules, "
        f"{compiled.n_states} states, {compiled.n_classes} classes, {compiled.n_cells} cells, "
        f"sha256 {compiled.hash[:16]}"
    )
    return 0


raise SystemExit(main())
