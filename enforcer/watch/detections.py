"""The rules and sequences of this host: those that are shipped, and those of its administrators."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import detect
from detect.rules.engine import RuleEngine
from detect.rules.model import Rule
from detect.rules.scan import Scanner
from enforcer.serving.apart import apart
from enforcer.watch.life import Detection
from enforcer.watch.settings import WatchSettings
from policies.errors import PolicyError, PolicyErrors
from policies.sequence import Sequence as Document
from policies.sequence import unknown_tags

log = logging.getLogger("menshen.watch")

SHIPPED: Final = Path(detect.__file__).parent / "library"


@dataclass(frozen=True, slots=True)
class Detections:
    """What is in force, and what is wrong with the rest."""

    rules: tuple[Rule, ...]
    sequences: tuple[Document, ...]
    scanners: Mapping[str, Scanner]
    """The engine's, compiled already."""
    reads: tuple[bytes, ...] = ()
    """Files whose reading is an event."""
    problems: tuple[str, ...] = ()

    def shown(self) -> Sequence[Detection]:
        """For people."""
        return [
            *(
                Detection("rule", each.name, each.title, each.level.name.lower(), each.place, tags=each.tags)
                for each in self.rules
            ),
            *(
                Detection(
                    "sequence",
                    each.name,
                    each.title,
                    each.level,
                    f"{each.place.path}:{each.place.line}",
                    mode=each.mode.value,
                    tags=each.tags,
                )
                for each in self.sequences
            ),
        ]


def load(settings: WatchSettings) -> Detections:
    """Everything. If what this host adds is faulty, what is shipped goes on alone, and it is said why.

    In a process of its own: pySigma, and what hyperscan compiles with, take 30 MB that are not needed again.
    """
    return apart("rules and sequences are not read", lambda: _read(settings))


def _read(settings: WatchSettings) -> Detections:
    shipped = [SHIPPED] if settings.shipped else []
    rules, sequences = [each / "rules" for each in shipped], [each / "sequences" for each in shipped]
    reads = reads_of(settings)
    try:
        found = _load([*rules, *_folders(settings.rules)], [*sequences, *_folders(settings.sequences)])
        return Detections(*found, reads)
    except (PolicyError, PolicyErrors) as error:
        log.error("the rules and sequences of this host are not in force: %s", error)
        return Detections(*_load(rules, sequences), reads, (f"only what is shipped is in force: {error}",))


def _folders(names: Sequence[str]) -> list[Path]:
    return [Path(each) for each in names if Path(each).is_dir()]


def reads_of(settings: WatchSettings) -> tuple[bytes, ...]:
    """The files whose reading is an event."""
    shipped = read_list(SHIPPED / "reads.txt") if settings.shipped else ()
    return (*shipped, *map(os.fsencode, settings.reads))


def read_list(path: Path) -> tuple[bytes, ...]:
    """The entries of a file like detect/library/reads.txt."""
    lines = path.read_bytes().splitlines()
    return tuple(line.strip() for line in lines if line.strip() and not line.startswith(b"#"))


def _load(
    rules: list[Path], sequences: list[Path]
) -> tuple[tuple[Rule, ...], tuple[Document, ...], Mapping[str, Scanner]]:
    from detect.rules import parse  # noqa: PLC0415 - here, and so in a process of its own
    from policies import load_paths  # noqa: PLC0415

    found = parse.load(rules)
    documents = load_paths(sequences).sequences if sequences else ()
    engine = RuleEngine(found)
    if faults := list(unknown_tags(documents, engine.tags)):
        raise PolicyErrors.of(faults)
    return found, tuple(documents), engine.scanners
