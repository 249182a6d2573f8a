"""Records and batches for tests, from a few words each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from bpf_lsm.observation import OBSERVATION, STRING_FIELDS, STRING_FIRST, Raw
from detect.batch import Batch
from detect.decode import Decoder
from detect.enrich import Enricher


def raw(events: Iterable[Mapping[str, Any]]) -> Raw:
    """Records as the kernel sends them. Strings are given as bytes, the address as up to 16 bytes."""
    rows = list(events)
    numbers: dict[bytes, int] = {}
    records = np.zeros(len(rows), OBSERVATION)
    for record, row in zip(records, rows, strict=True):
        for name, value in row.items():
            if name in STRING_FIELDS and isinstance(value, bytes):
                record[name] = numbers.setdefault(value, len(numbers) + STRING_FIRST) if value else 0
            elif name == "address":
                record[name][: len(value)] = list(value)
            else:
                record[name] = value
    return Raw(records, [(number, value, False) for value, number in numbers.items()])


def enriched(events: Iterable[Mapping[str, Any]]) -> Batch:
    """The same, decoded and enriched by newcomers who know nothing else."""
    return Enricher().enrich(Decoder().decode(raw(events)))
