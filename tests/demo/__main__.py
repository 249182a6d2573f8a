"""`python -m tests.demo`: what `make demo` calls. ENFORCE=0: without Menshen; TUI=1: shown live."""

from __future__ import annotations

import os
import sys

from tests.demo.run import demo
from tests.demo.traffic import RefusedError
from tests.guest import kernels, terminal
from tests.guest.channel import ChannelError
from tests.guest.guest import CommandError
from tests.guest.host import HostError
from tests.guest.qmp import QmpError


def main() -> int:
    """0 only if every step was denied by a rule that is named, and every normal request was answered.

    1: that was not so. 2: it could not be run to its end.
    """
    kernel, enforce = os.environ.get("KERNEL", "6.1"), os.environ.get("ENFORCE", "1")
    tui = os.environ.get("TUI", "0")
    if kernel not in kernels.NAMES or {enforce, tui} - {"0", "1"}:
        print(
            f"demo: KERNEL is one of {', '.join(kernels.NAMES)}; ENFORCE and TUI are 0 or 1", file=sys.stderr
        )
        return 2
    if tui == "1" and (enforce == "0" or not terminal.is_there()):
        print("demo: TUI=1 wants a terminal, and Menshen to show on it", file=sys.stderr)
        return 2
    try:
        return 0 if demo(kernel, enforce=enforce == "1", tui=tui == "1").passed else 1
    except (HostError, ChannelError, CommandError, QmpError, RefusedError, OSError) as error:
        print(f"demo: it could not be run to its end: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
