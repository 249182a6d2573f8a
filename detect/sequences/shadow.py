"""The kernel's part of a sequence that blocks, over recorded events: by the image that it would be compiled
to.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bpf_lsm.observation import Type
from detect.batch import Batch
from policies import Documents, Evaluator, compile_documents
from policies.compile.sequences import ACTS
from policies.follow import Follower
from policies.image import Operation
from policies.pattern import Component, Pattern, literal
from policies.sequence import Act, Action, Sequence

TYPES: Final = {
    Type.FILE_WRITE: (Act.WRITE, Act.READ),
    Type.FILE_OPEN: (Act.READ,),
    Type.FILE_CREATE: (Act.CREATE,),
    Type.FILE_DELETE: (Act.DELETE,),
    Type.FILE_RENAME: (Act.RENAME, Act.CREATE, Act.DELETE),
    Type.FILE_LINK: (Act.LINK, Act.CREATE),
    Type.FILE_CHMOD: (Act.CHMOD,),
    Type.EXEC: (Act.EXECUTE,),
    Type.CONNECT: (Act.CONNECT,),
    Type.SENDTO: (Act.CONNECT,),
}
"""What of kernel forms an event can be."""

SYMBOLIC: Final = 1
EXCHANGE: Final = 2
"""`detail` of a link, of a rename."""

_RIGHTS: Final = {act: rights for act, (rights, _) in ACTS.items()}

Ask = tuple[bytes, int, Operation]
"""Object, rights and operation, as a hook asks."""


class Shadow:
    """One sequence, as the hooks would follow it."""

    def __init__(self, sequence: Sequence) -> None:
        forms = [step.kernel for step in sequence.steps]
        self.follows = all(form is not None for form in forms)
        if not self.follows:
            return
        blocking = replace(sequence, mode=Action.BLOCK)
        self.evaluator = Evaluator(compile_documents(Documents(sequences=(blocking,))).image)
        acts = {form.operation for form in forms if form is not None}
        self.types = [int(kind) for kind, its in TYPES.items() if acts & {*its}]
        self.replaces = not any(
            step.absent for step in sequence.steps if step.kernel and step.kernel.operation is Act.DELETE
        )
        """No record says whether a rename replaced something: it is taken to, unless that could only free."""
        self.slots: dict[bytes, int] = {}
        self.restart()

    def restart(self) -> None:
        """Another boot: no session goes on."""
        if self.follows:
            self.follower = Follower(self.evaluator)

    def blocks(self, batch: Batch) -> list[dict[str, Any]]:
        """The events of a batch that would have been denied."""
        if not self.follows:
            return []
        kinds = np.ascontiguousarray(batch["type"])
        concerned = np.flatnonzero(np.isin(kinds, self.types)).tolist()
        return [batch.row(at) for at in concerned if self._denied(batch, at)]

    def _denied(self, batch: Batch, at: int) -> bool:
        """Whether a hook would have said no; after that it asks about no second object."""
        for what, rights, operation in self._asks(batch, at):
            number = self.slots.get(what)
            if number is None:
                number = self.slots[what] = self.evaluator.classify(what)[0]
            if not self.evaluator.slots[number]:
                continue
            verdict = self.follower.asks(
                int(batch["session"][at]),
                number,
                rights,
                operation,
                int(batch["time"][at]),
                identified=bool(batch["subject"][at]),
                port=int(batch["port"][at]),
            )
            if verdict.enforced:
                return True
        return False

    def _asks(self, batch: Batch, at: int) -> Iterator[Ask]:
        kind, detail = Type(int(batch["type"][at])), int(batch["detail"][at])
        path, other = (batch.symbols[int(batch[name][at])] for name in ("path", "path2"))
        create = _RIGHTS[Act.CREATE]
        match kind:
            case Type.FILE_RENAME if detail & EXCHANGE:
                yield path, _RIGHTS[Act.RENAME] | create, Operation.ANY
                yield other, _RIGHTS[Act.RENAME] | create, Operation.ANY
            case Type.FILE_RENAME:
                yield path, _RIGHTS[Act.RENAME], Operation.ANY
                yield other, create | (_RIGHTS[Act.DELETE] if self.replaces else 0), Operation.ANY
            case Type.FILE_LINK:
                if detail != SYMBOLIC:
                    yield path, _RIGHTS[Act.LINK], Operation.ANY
                yield other, create, Operation.ANY
            case Type.FILE_WRITE if detail & os.O_ACCMODE == os.O_RDWR:
                yield path, _RIGHTS[Act.WRITE] | _RIGHTS[Act.READ], Operation.OPEN
            case _:
                rights, operation = ACTS[TYPES[kind][0]]
                yield _endpoint(batch, at) if rights == _RIGHTS[Act.CONNECT] else path, rights, operation


def _endpoint(batch: Batch, at: int) -> bytes:
    family = int(batch["family"][at])
    if family not in (4, 6):
        return b""
    address: NDArray[np.uint8] = batch["address"][at]
    head = bytes((family, int(batch["protocol"][at]))) + int(batch["port"][at]).to_bytes(2, "big")
    return head + address[: 4 if family == 4 else 16].tobytes()


def unrecorded(sequence: Sequence, reads: Collection[bytes]) -> list[str]:
    """Paths that steps read and whose reading is no event, so that no history can tell of it.

    `reads` are the entries of the watch's list (detect/library/reads.txt).
    """
    return [
        str(pattern)
        for step in sequence.steps
        if step.kernel and step.kernel.operation is Act.READ
        for pattern in step.kernel.paths
        if not _is_recorded(pattern, reads)
    ]


def _is_recorded(pattern: Pattern, reads: Collection[bytes]) -> bool:
    return all(not _entries(branch).isdisjoint(reads) for branch in pattern.branches)


def _entries(branch: tuple[Component, ...]) -> set[bytes]:
    """The entries each of which would record all that this matches."""
    *folders, last = branch
    above, name = [literal(each) for each in folders], literal(last)
    found = {name, f"{above[-1]}/" if above and above[-1] and last is not None else ""}
    if all(above):
        found |= {
            f"/{'/'.join((*above, name))}" if name else "",
            f"/{'/'.join(above)}/" if last is not None else "",
        }
    return {os.fsencode(each) for each in found if each}
