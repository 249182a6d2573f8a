"""`python -m tests.bench`: what `make bench` calls. KERNEL=6.1|6.12|latest chooses; 6.12 if not said."""

from __future__ import annotations

import os
import sys

from tests.bench.run import bench
from tests.guest import kernels


def main() -> int:
    """0 only if the first bar is met; see results.py."""
    kernel = os.environ.get("KERNEL", "6.12")
    if kernel not in kernels.NAMES:
        print(f"bench: KERNEL is one of {', '.join(kernels.NAMES)}", file=sys.stderr)
        return 2
    return 0 if bench(kernel) else 1


if __name__ == "__main__":
    sys.exit(main())
