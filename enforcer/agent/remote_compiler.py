"""The policy compiler in a process of its own, so that the agent holds neither its modules nor its memory.

It fails closed: a compiler that dies, takes too long or answers with something else is an EnforcerError, and
what is in force stays.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from enforcer.agent.aliases import ClassesOf
from enforcer.agent.compiler_process import LONGEST, serve
from enforcer.agent.compiler_wire import (
    BrokenWireError,
    compiled_from_data,
    error_from_data,
    receive,
    send,
)
from enforcer.agent.compiling import Compiled, Compiler, Document, Files
from enforcer.errors import EnforcerError
from enforcer.serving.helper import Helper
from policies.image import content_hash

log = logging.getLogger("menshen.compiler")

_GRACE: Final = 10
"""Seconds beyond the compiler's own limit."""
_HINT: Final = "what is in force stays; if it happens again, restart the agent and report it"


class RemoteCompiler:
    """`Compiler`, one call at a time."""

    def __init__(self, make: Callable[[], Compiler]) -> None:
        """`make` is called in the compiler's process, and imports what it needs there."""
        self._helper = Helper("the policy compiler", partial(serve, make))
        self._worker: socket.socket | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Fork the helper, anew if there is one: see Helper.start."""
        self.stop()
        self._helper.start()

    def stop(self) -> None:
        """End the helper and its worker."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None
        self._helper.stop()

    @property
    def helper(self) -> int:
        """The helper's pid; 0 if there is none."""
        return self._helper.pid

    def documents(self, files: Files) -> list[Document]:
        """As `Compiler` has it."""
        found, _ = self._ask("documents", list(files), list(files.values()))
        with _understood():
            return [Document(*row) for row in found]

    def compile(self, files: Files, known: Collection[str] | None = None) -> Compiled:
        """As `Compiler` has it."""
        arguments = [list(files), None if known is None else sorted(known)]
        return _compiled(*self._ask("compile", arguments, list(files.values())))

    def read(self, image: bytes) -> Compiled:
        """As `Compiler` has it."""
        return _compiled(*self._ask("read", None, [image]))

    def aliases(self, image: bytes) -> tuple[Iterable[Path], ClassesOf]:
        """As `Compiler` has it."""

        def classes(paths: Sequence[str]) -> list[int | None]:
            found, _ = self._ask("classes", list(paths), [image])
            with _understood():
                return [None if each is None else int(each) for each in found]

        roots, _ = self._ask("roots", None, [image])
        with _understood():
            return [Path(root) for root in roots], classes

    def _ask(self, name: str, arguments: Any, parts: Sequence[bytes]) -> tuple[Any, list[bytes]]:
        with self._lock:
            head, answer = self._exchange([name, arguments], parts)
        with _understood():
            kind, said = head
            if kind == "refused":
                raise error_from_data(said)
        if kind != "done":
            raise EnforcerError(f"the policy compiler failed: {said}", _HINT)
        return said, answer

    def _exchange(self, call: Any, parts: Sequence[bytes]) -> tuple[Any, list[bytes]]:
        """A worker that waited may have just ended: then another is asked, once."""
        fresh = self._worker is None
        try:
            if self._worker is None:
                self._worker = self._helper.worker()
                self._worker.settimeout(LONGEST + _GRACE)
            send(self._worker, call, parts)
            return receive(self._worker)
        except (OSError, EOFError, BrokenWireError) as error:
            if self._worker is not None:
                self._worker.close()
            self._worker = None
            if not fresh and not isinstance(error, TimeoutError):
                return self._exchange(call, parts)
            why = f"no answer in {LONGEST} s" if isinstance(error, TimeoutError) else "its process ended"
            log.error("the policy compiler gave no answer: %s (%r)", why, error)
            raise EnforcerError(f"the policy compiler gave no answer: {why}", _HINT) from None


def _compiled(data: Any, parts: Sequence[bytes]) -> Compiled:
    with _understood():
        (image,) = parts
        compiled = compiled_from_data(data, image)
        if content_hash(image).hex() != compiled.hash:
            raise ValueError("the image is not the one that its hash is of")
        return compiled


@contextlib.contextmanager
def _understood() -> Any:
    """What is not as it should be is no answer."""
    try:
        yield
    except (TypeError, ValueError) as error:
        log.error("the policy compiler's answer is none: %r", error)
        raise EnforcerError(f"the policy compiler's answer cannot be used: {error}", _HINT) from None
