"""Who may ask the agent for what.

Reading: root and the group menshen. Changing: root, from a process that no enforced policy confines, so that
an intruder who has become root inside a confined service cannot lift its own policy. The kernel's label is
asked for at the connect and again at the call, and only while the process that connected is still there.
"""

from __future__ import annotations

from collections.abc import Callable

from enforcer.errors import RefusedError
from enforcer.names import Names
from enforcer.serving.peers import Identify, Peer, may_read

Confines = Callable[[int], bool]
"""Whether the image in force has an enforced policy for this identity (0: the unidentified)."""


class Authority:
    """Judges callers."""

    def __init__(self, group: int | None, names: Names, identify: Identify, confines: Confines) -> None:
        self._group = group
        self._names = names
        self._identify = identify
        self._confines = confines

    def may_read(self, peer: Peer | None) -> None:
        """RefusedError unless this caller may look."""
        may_read(peer, self._group)

    def may_change(self, peer: Peer | None) -> str:
        """RefusedError unless this caller may change what is in force; its identity's name otherwise."""
        if peer is None:
            raise RefusedError("this connection did not come through the agent's socket")
        if peer.uid != 0:
            raise RefusedError(f"uid {peer.uid} may not change anything", "be root")
        now = self._identify(peer.pid)
        if peer.gone:
            raise RefusedError("the process that connected has ended")
        for identity in (peer.identity, now):
            if self._confines(identity):
                raise RefusedError(
                    f"process {peer.pid} is {self._names(identity)}, which an enforced policy confines: "
                    "it may not change anything",
                    "use a shell that no policy confines, and enrol the command line: menshen enrol-self",
                )
        return self._names(now)
