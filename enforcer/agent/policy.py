"""The policy in force: how a set of documents takes the place of another, whole or not at all."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from enforcer.agent.compiling import Compiled, Compiler, Files
from enforcer.agent.documents import DocumentStore, check_names, without
from enforcer.agent.gateway import GateLike
from enforcer.agent.rules import RuleTables
from enforcer.errors import EnforcerError, Problem
from enforcer.names import Names
from identity.files import write_atomically

if TYPE_CHECKING:
    from bpf_lsm.tables import Alias

log = logging.getLogger("menshen.policy")

Aliases = Callable[[Compiled], "dict[Alias, int]"]
"""Protected files with more than one name, for the gate to know when the image comes into force."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of an apply."""

    generation: int
    hash: str
    problems: tuple[Problem, ...]
    changed: bool
    summary: str


class Policy:
    """The set that is in force, and the only way to another."""

    def __init__(
        self,
        gate: GateLike,
        compiler: Compiler,
        *,
        store: DocumentStore,
        last_good: Path,
        names: Names,
        tables: RuleTables,
        aliases: Aliases,
        known: Callable[[], Collection[str]],
        begun: Callable[[int], None],
    ) -> None:
        """`known` are the identities that this host can vouch for; `begun` is told each new generation."""
        self._gate = gate
        self._compiler = compiler
        self._store = store
        self._last_good = last_good
        self._names = names
        self._tables = tables
        self._aliases = aliases
        self._known = known
        self._begun = begun
        self._lock = threading.RLock()
        self.generation = 0
        self.current: Compiled | None = None
        self.fault: str = ""
        """Why what lies on disk is not what is in force; empty if it is."""

    def confines(self, identity: int) -> bool:
        """Whether an enforced policy confines this identity."""
        return self.current is not None and self.current.confines(identity)

    def files(self) -> dict[str, bytes]:
        """The files of the set on disk."""
        return self._store.read()

    def boot(self) -> None:
        """Put in force what lies on disk; if that is not possible, what was in force last."""
        with self._lock:
            self._store.commit()
            self._take_running()
            try:
                self._refresh(self._was_good)
            except EnforcerError as error:
                self.fault = str(error)
                log.error("the policies on disk are not in force: %s", error)
                if self.current is None:
                    self._restore()

    def reload(self) -> bool:
        """Put in force what lies on disk, if it has changed; an EnforcerError leaves everything as it is."""
        with self._lock:
            try:
                changed = self._refresh(self._was_good)
            except EnforcerError as error:
                self.fault = str(error)
                raise
            return changed

    def apply(
        self, files: Files, *, dry_run: bool = False, force: bool = False, replace: bool = False
    ) -> Applied:
        """Compile, check, and only then install and keep. After an error the old set is there, whole."""
        with self._lock:
            check_names(files)
            merged = dict(sorted((files if replace else self._merged(files)).items()))
            compiled = self._checked(self._compiler.compile(merged, self._known()), forced=force)
            problems = (*compiled.warnings, *compiled.lockouts)
            summary = _difference(self.current, compiled)
            if dry_run:
                return Applied(self.generation, compiled.hash, problems, changed=False, summary=summary)
            try:
                self._store.stage(merged)
            except OSError as error:
                self._store.abandon()
                raise EnforcerError(f"nothing was changed, since the set cannot be kept: {error}") from None
            try:
                changed = self._install(compiled)
            except BaseException:
                self._store.abandon()
                raise
            self._store.commit()
            self.fault = ""
            return Applied(self.generation, compiled.hash, problems, changed=changed, summary=summary)

    def _merged(self, files: Files) -> dict[str, bytes]:
        """The stored set, with these files in place of their namesakes and of the documents they define."""
        stored = self._store.read()
        named = {(document.kind, document.name) for document in self._compiler.documents(files)}
        others = {name: content for name, content in stored.items() if name not in files}
        old: dict[str, set[int]] = {}
        for document in self._compiler.documents(others):
            if (document.kind, document.name) in named:
                old.setdefault(document.file, set()).add(document.line)
        kept = {name: without(content, old.get(name, ())) for name, content in others.items()}
        return {**{name: content for name, content in kept.items() if content}, **files}

    def _checked(self, compiled: Compiled, *, forced: bool) -> Compiled:
        if compiled.lockouts and not forced:
            raise EnforcerError(
                "refused: this would lock out what the host needs",
                "change the policy, or apply it with --force if it is meant so",
                compiled.lockouts,
            )
        if len(compiled.image) > self._gate.capacity:
            raise EnforcerError(
                f"the compiled policy has {len(compiled.image)} bytes; the gate takes {self._gate.capacity}",
                "raise image_capacity in /etc/menshen/agent.yaml; it counts when the gate is next loaded",
            )
        return compiled

    def _refresh(self, forced: Callable[[Compiled], bool]) -> bool:
        compiled = self._compiler.compile(self._store.read(), self._known())
        changed = self._install(self._checked(compiled, forced=forced(compiled)))
        self.fault = ""
        return changed

    def _was_good(self, compiled: Compiled) -> bool:
        """Whether this very set was in force before: then a lock-out warning was overridden already."""
        if self.current is not None:
            return self.current.hash == compiled.hash
        try:
            return self._compiler.read(self._last_good.read_bytes()).hash == compiled.hash
        except (OSError, EnforcerError):
            return False

    def _install(self, compiled: Compiled) -> bool:
        if self.current is not None and self.current.hash == compiled.hash:
            self._know(self.generation, compiled)
            return False
        generation = self._gate.install(compiled.image, self._aliases(compiled))
        # Again, for links that were made between that search and the change: the kernel noted them for the
        # image that was in force then.
        self._gate.set_aliases(self._aliases(compiled))
        self._begun(generation)
        self._know(generation, compiled)
        try:
            write_atomically(self._last_good, compiled.image, mode=0o600)
        except OSError as error:
            log.error("%s was not written: %s", self._last_good, error)
        log.info("generation %d is in force: %s", generation, compiled.hash)
        return True

    def _know(self, generation: int, compiled: Compiled) -> None:
        self._names.learn(
            {subject.identity: subject.name for subject in compiled.subjects if subject.identity}
        )
        self._tables.keep(generation, compiled.rules)
        self.generation = generation
        self.current = compiled

    def _take_running(self) -> None:
        """The image that a former agent left in force."""
        image = self._gate.image()
        if image is None:
            return
        try:
            self._know(self._gate.generation, self._compiler.read(image))
        except EnforcerError as error:
            log.error("the image in force cannot be read: %s", error)

    def _restore(self) -> None:
        try:
            compiled = self._compiler.read(self._last_good.read_bytes())
            self._install(compiled)
        except (OSError, EnforcerError) as error:
            log.critical("nothing is in force: the last good image cannot be used either: %s", error)
            self.fault += f"\nand the last good image cannot be used: {error}"
            return
        log.error("the last good image is in force instead: %s", compiled.hash)
        self.fault += "\nthe last good image is in force instead"


def _difference(old: Compiled | None, new: Compiled) -> str:
    before = {(one.kind, one.name): one.mode for one in old.documents} if old else {}
    after = {(one.kind, one.name): one.mode for one in new.documents}
    parts = [f"+{name}" for _, name in sorted(after.keys() - before.keys())]
    parts += [f"-{name}" for _, name in sorted(before.keys() - after.keys())]
    parts += [
        f"{name}: {before[kind, name]} -> {mode}"
        for (kind, name), mode in sorted(after.items())
        if (kind, name) in before and before[kind, name] != mode
    ]
    same_documents = not parts
    if same_documents and old is not None:
        return "no change" if old.hash == new.hash else "the same documents, with other rules"
    return ", ".join(parts) or "no documents"
