"""LTP's groups of system calls that come to hooks of ours, by the part of the surface that they exercise."""

from __future__ import annotations

from pathlib import Path


def groups() -> dict[str, list[str]]:
    """Part of the surface to the groups in it, as groups.txt has them."""
    found: dict[str, list[str]] = {}
    part: list[str] = []
    for line in Path(__file__).with_name("groups.txt").read_text().splitlines():
        if line.startswith("["):
            part = found.setdefault(line.strip("[]"), [])
        elif not line.startswith("#"):
            part += line.split()
    return found
