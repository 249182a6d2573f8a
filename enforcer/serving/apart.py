"""Work in a process of its own, which ends with it: what it imports and leaves in memory goes too."""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Callable
from typing import TypeVar

from enforcer.errors import EnforcerError

T = TypeVar("T")


def apart(what: str, work: Callable[[], T]) -> T:
    """The answer of `work`, which can be pickled. For a process that has one thread yet.

    EnforcerError if there is none; why is on standard error. It is a fork: the same program, the same rights.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(pickle.dumps(work()))
            status = 0
        except BaseException:
            os.write(2, traceback.format_exc().encode("utf-8", "replace"))
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(pid, 0)
    if status:
        raise EnforcerError(f"{what}: the process ended with {os.waitstatus_to_exitcode(status)}")
    found: T = pickle.loads(answer)  # noqa: S301 - of this very program, a moment ago
    return found
