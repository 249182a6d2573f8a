"""Times as policies write them: `200ms`, `30s`, `10m`, `2h`, `1d`. In values they are nanoseconds."""

from __future__ import annotations

import re
from typing import Final

UNITS: Final = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}
LONGEST: Final = 30 * UNITS["d"]
_WRITTEN = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)\Z")


def parse(text: str) -> int:
    """Nanoseconds; ValueError says what is wrong and what to write."""
    found = _WRITTEN.match(text)
    if found is None:
        raise ValueError(f'"{text}" is not a time', "write 200ms, 30s, 10m, 2h or 1d")
    length = int(found[1]) * UNITS[found[2]]
    if not 0 < length <= LONGEST:
        raise ValueError(f"a time of {text} is too {'long' if length else 'short'}", "from 1ms to 30d")
    return length


def show(length: int) -> str:
    """As it is written, in the largest unit that fits."""
    unit = next((unit for unit, size in reversed(UNITS.items()) if length % size == 0), "")
    return f"{length // UNITS[unit]}{unit}" if unit else f"{length} ns"
