"""What this host will mount once the system starts, and whether the image in force would refuse it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from policies.evaluate import Evaluator
from policies.operations import Operations

FSTAB: Final = "etc/fstab"
UNITS: Final = ("etc/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system")
MOUNTERS: Final = ("os/mount", "os/systemd")
"""Who mounts: the command, and process 1 by itself."""
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


def planned(root: Path) -> Iterator[str]:
    """Where fstab and mount units put something, as they say it."""
    if (fstab := root / FSTAB).is_file():
        for line in fstab.read_text("utf-8", "surrogateescape").splitlines():
            fields = line.split()
            if len(fields) > 1 and not line.lstrip().startswith("#") and fields[1].startswith("/"):
                yield _ESCAPED.sub(lambda found: chr(int(found[1], 8)), fields[1])
    for folder in UNITS:
        for unit in sorted((root / folder).glob("*.mount")):
            if not unit.is_file():
                continue  # masked
            for line in unit.read_text("utf-8", "surrogateescape").splitlines():
                name, _, value = line.partition("=")
                if name.strip() == "Where" and value.strip().startswith("/"):
                    yield value.strip()


def refused(image: bytes, places: Iterable[str]) -> list[tuple[str, str]]:
    """(place, rule) of each that a rule of the image would refuse to whoever mounts it."""
    evaluator = Evaluator(image)
    found = []
    for place in dict.fromkeys(places):
        if place == "/":
            continue  # it is mounted
        for who in MOUNTERS:
            verdict = Operations(evaluator, evaluator.row(who)).mount_over(place)
            if verdict.enforced:
                found.append((place, evaluator.meta.rules[verdict.rule].owner))
                break
    return found
