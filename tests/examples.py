"""How many examples property tests try: MENSHEN_EXAMPLES per cent of what each says, 100 if it is not set.

Below 100 (mutation testing) the examples are always the same, and a failing one is not made smaller.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

PER_CENT = int(os.environ.get("MENSHEN_EXAMPLES", "100"))


def examples(count: int) -> settings:
    """Settings for a property test that tries `count` examples; how slow they are is no reason to fail."""
    found = settings(
        max_examples=max(1, count * PER_CENT // 100), deadline=None, suppress_health_check=list(HealthCheck)
    )
    if PER_CENT >= 100:
        return found
    return settings(found, derandomize=True, database=None, phases=(Phase.explicit, Phase.generate))
