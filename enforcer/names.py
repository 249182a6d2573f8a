"""Identity ids of the kernel back to names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from enforcer.events import UNIDENTIFIED
from identity.names import UNIDENTIFIED_ID, identity_id

AGENT = "menshen/agent"
COMMAND = "menshen/cli"
WATCH = "menshen/watch"
EARLY = "menshen/early"
LIBRARY = "menshen/lib"


class Names:
    """Every name that was seen so far; one that left the catalogue is still known to older events."""

    def __init__(self) -> None:
        self._names = {UNIDENTIFIED_ID: UNIDENTIFIED}
        self.learn_names((AGENT, COMMAND, WATCH, EARLY, LIBRARY))

    def learn(self, names: Mapping[int, str]) -> None:
        """Take in names by their id."""
        self._names = {**self._names, **names}  # a reader has the old mapping or the new one, whole

    def learn_names(self, names: Iterable[str]) -> None:
        """Take in names."""
        self.learn({identity_id(name): name for name in names})

    @property
    def all(self) -> list[str]:
        """Every name, sorted."""
        return sorted(self._names.values())

    def encoded(self, number: int) -> bytes | None:
        """The name as bytes; None if there is none yet."""
        name = self._names.get(number)
        return None if name is None else name.encode()

    def __call__(self, number: int) -> str:
        """The name, or the id in hexadecimal where there is none."""
        return self._names.get(number) or f"#{number:016x}"
