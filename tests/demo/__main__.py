"""`python -m tests.demo`: what `make demo` calls. ENFORCE=0 is the same run without Menshen."""

from __future__ import annotations

import os
import sys

from tests.demo.run import demo
from tests.guest import kernels


def main() -> int:
    """0 only if every step was denied by a rule that is named, and every normal request was answered."""
    kernel, enforce = os.environ.get("KERNEL", "6.1"), os.environ.get("ENFORCE", "1")
    if kernel not in kernels.NAMES or enforce not in {"0", "1"}:
        print(f"demo: KERNEL is one of {', '.join(kernels.NAMES)}; ENFORCE is 0 or 1", file=sys.stderr)
        return 2
    return 0 if demo(kernel, enforce=enforce == "1").passed else 1


if __name__ == "__main__":
    sys.exit(main())
