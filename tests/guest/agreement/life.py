"""A life of a tree: accesses that change it and are not undone, under one image after the other.

What is done is written down first, by name. What it comes to is found when it is judged: by then it is known
what the calls before it did to the tree.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from bpf_lsm.layout import Operation
from policies.evaluate import Evaluator
from policies.image import Right
from policies.names import identity_id
from policies.operations import Name
from tests.guest.agreement import world
from tests.guest.agreement.accesses import CWD
from tests.guest.agreement.judge import Effect, Findings, Outcome, Step, View, judge, label
from tests.guest.agreement.script import EXEC, Argument, Got, Script
from tests.guest.agreement.stage import LEAD, TOOL, Actor, Round, Stage
from tests.guest.agreement.tree import HOST, Node, Spot, Tree
from tests.guest.agreement.world import ACTORS, PRIVATE, ROOT, SYS

CAST: Final = (Actor("lead", LEAD), *ACTORS)
PLAYERS: Final = tuple(number for number, actor in enumerate(CAST) if actor.name not in world.JAILED)
NAMESPACES: Final = {number: number if CAST[number].name in PRIVATE else HOST for number in PLAYERS}
PROGRAMS: Final = {ROOT + b"/tool": world.GOOD, ROOT + b"/a/tool": world.GOOD, ROOT + b"/stray": world.STRAY}
EMPTIED: Final = b"emptied"
"""What was a program."""

Change = Callable[[int, bool], None]
"""What a call did to the tree: by its result, and whether a hook denied it."""


@dataclass(slots=True)
class Plan:
    """What an access comes to, as the tree is now."""

    steps: Sequence[Step] = ()
    errors: tuple[int, ...] = ()
    """It fails with one of these, unless it is denied first."""
    change: Change | None = None
    becomes: int | None = None


@dataclass(slots=True)
class Act:
    """An access of a life."""

    life: Life
    step: int
    access: int
    actor: int
    what: str
    plan: Callable[[View], Plan]
    planned: Plan = field(default_factory=Plan)

    def outcome(self, view: View) -> Outcome:
        self.planned = plan = self.plan(view)
        becomes = plan.becomes
        return Outcome(
            plan.steps,
            tuple(-error for error in plan.errors),
            fails=bool(plan.errors),
            becomes=None if becomes is None else lambda _: becomes,
        )

    def after(self, view: View, *, denied: bool) -> None:
        if self.planned.change:
            self.planned.change(view.result(self.step), denied)


@dataclass(slots=True)
class Life:
    """Rounds that are played one after the other on one tree."""

    tree: Tree = field(default_factory=lambda: Tree(ROOT))
    labels: dict[Node, int] = field(default_factory=dict)
    """By inode: the class of a protected name, under the image in force."""
    images: list[bytes] = field(default_factory=list)
    scripts: list[Script] = field(default_factory=list)
    items: list[list[Act | Effect]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    accesses: int = 0

    # writing it down ---------------------------------------------------------------------------------------

    def swap(self, image: bytes, what: str) -> None:
        """Another image from here on."""
        self.images.append(image)
        self.scripts.append(Script())
        self.items.append([])
        self.told.append(what)

    def act(
        self, actor: int, what: str, plan: Callable[[View], Plan], call: int | str, *arguments: Argument,
        only_if: int | None = None,
    ) -> int:  # fmt: skip
        number = SYS[call] if isinstance(call, str) else call
        step = self.scripts[-1].do(actor, number, *arguments, only_if=only_if)
        text = f"{CAST[actor].name}: {what}"
        self.items[-1].append(Act(self, step, self.accesses, actor, text, plan))
        self.told.append(text)
        self.accesses += 1
        return step

    def close(self, actor: int, descriptor: int) -> None:
        self.scripts[-1].do(actor, SYS["close"], Got(descriptor), only_if=descriptor)

    # what is asked of the evaluator ------------------------------------------------------------------------

    def named(self, spot: Spot) -> tuple[Name, bytes]:
        known = self.tree.known(spot)
        node = spot.node
        alias = self.labels.get(node) if node and not node.is_directory and node.links > 1 else None
        return Name(known.path, known.foreign, alias), known.path

    def relabel(self, view: View, node: Node, old: Name, new: Name) -> None:
        """A link was made: the first name's class stays with the inode."""
        before, after = (view.evaluator.classify(each.path)[0] for each in (old, new))
        if before and before != after:
            self.labels.setdefault(node, before)

    # accesses ----------------------------------------------------------------------------------------------

    def open(self, actor: int, path: bytes, flags: int) -> None:
        """open(2), also of directories and of what is not there."""

        def plan(view: View) -> Plan:
            spot = self.tree.find(NAMESPACES[actor], path)
            if isinstance(spot, int):
                return Plan(errors=(spot,))
            name, known = self.named(spot)
            operations = view.operations(actor)
            if spot.node is None:
                if not flags & os.O_CREAT:
                    return Plan(errors=(errno.ENOENT,))
                verdicts = operations._open(name, flags, False, False)
                steps = list(label(verdicts, (Operation.CREATE, known), (Operation.OPEN, known)))
                made = not steps[0].verdict.enforced
                return Plan(steps, change=lambda result, denied: self._create(spot, made=made))
            writes = flags & (os.O_ACCMODE | os.O_TRUNC | os.O_CREAT)
            if flags & os.O_EXCL:
                return Plan(errors=(errno.EEXIST, errno.EISDIR))
            if spot.node.is_directory and writes:
                return Plan(errors=(errno.EISDIR,))
            if flags & os.O_DIRECTORY and not spot.node.is_directory:
                return Plan(errors=(errno.ENOTDIR,))
            verdict = operations.open(name, flags, is_directory=spot.node.is_directory)
            steps = [Step(verdict, Operation.OPEN, known)]
            if flags & os.O_TRUNC:  # 6.1 asks the same again where the file is cut
                again = operations.truncate(name)
                steps.append(Step(again, Operation.TRUNCATE, known, optional=True))
            return Plan(steps, change=self._empties(spot.node) if flags & os.O_TRUNC else None)

        opened = self.act(actor, f"open {path!r} {flags:#o}", plan, "open", path, flags, 0o644)
        self.close(actor, opened)

    def _create(self, spot: Spot, *, made: bool, directory: bool = False) -> None:
        assert spot.parent is not None
        if made:
            self.tree.put(spot.parent, spot.name, Node(directory))

    def _empties(self, node: Node) -> Change:
        def change(result: int, denied: bool) -> None:
            if result >= 0 and node.content:
                node.content = EMPTIED

        return change

    def make(self, actor: int, path: bytes, *, directory: bool) -> None:
        """mkdir(2) or mknod(2) of a file."""

        def plan(view: View) -> Plan:
            spot = self.tree.last(NAMESPACES[actor], path)
            if isinstance(spot, int):
                return Plan(errors=(spot,))
            if spot.node:
                return Plan(errors=(errno.EEXIST,))
            name, known = self.named(spot)
            operation = Operation.MKDIR if directory else Operation.CREATE
            steps = [Step(view.operations(actor).create(name), operation, known)]
            return Plan(
                steps,
                change=lambda result, denied: self._create(spot, made=result >= 0, directory=directory),
            )

        if directory:
            self.act(actor, f"mkdir {path!r}", plan, "mkdir", path, 0o755)
        else:
            self.act(actor, f"mknod {path!r}", plan, "mknod", path, 0o100644, 0)

    def remove(self, actor: int, path: bytes, *, directory: bool) -> None:
        """unlink(2) or rmdir(2)."""

        def plan(view: View) -> Plan:
            spot = self.tree.last(NAMESPACES[actor], path)
            if isinstance(spot, int):
                return Plan(errors=(spot,))
            node, parent = spot.node, spot.parent
            if node is None or parent is None:
                return Plan(errors=(errno.ENOENT, errno.EBUSY))
            name, known = self.named(spot)
            verdict = view.operations(actor).unlink(name)
            steps = [Step(verdict, Operation.RMDIR if directory else Operation.UNLINK, known)]
            errors: list[int] = []
            if not directory and node.is_directory:
                errors.append(errno.EISDIR)
            if directory and not node.is_directory:
                errors.append(errno.ENOTDIR)
            if directory and node.children:
                errors.append(errno.ENOTEMPTY)
            if self.is_mount_point(actor, node):
                errors.append(errno.EBUSY)
            return Plan(
                steps,
                tuple(errors),
                lambda result, denied: self.tree.remove(parent, spot.name) if result >= 0 else None,
            )

        call = "rmdir" if directory else "unlink"
        self.act(actor, f"{call} {path!r}", plan, call, path)

    def is_mount_point(self, actor: int, node: Node | None) -> bool:
        return node is not None and any(
            mount.point is node and mount.namespace == NAMESPACES[actor] for mount in self.tree.mounts()
        )

    def change(self, actor: int, path: bytes, kind: str) -> None:
        """truncate(2), utimensat(2)."""

        def plan(view: View) -> Plan:
            spot = self.tree.find(NAMESPACES[actor], path)
            if isinstance(spot, int) or spot.node is None:
                return Plan(errors=(spot if isinstance(spot, int) else errno.ENOENT,))
            name, known = self.named(spot)
            operations = view.operations(actor)
            if kind == "touch":
                return Plan([Step(operations.attributes(name), Operation.UTIMES, known)])
            if spot.node.is_directory:
                return Plan(errors=(errno.EISDIR,))
            steps = [Step(operations.truncate(name), Operation.TRUNCATE, known)]
            return Plan(steps, change=self._empties(spot.node))

        call: tuple[Argument, ...] = (CWD, path, 0, 0) if kind == "touch" else (path, 0)
        self.act(actor, f"{kind} {path!r}", plan, "utimensat" if kind == "touch" else "truncate", *call)

    def execute(self, actor: int, path: bytes) -> None:
        """execve(2); only the programs of the beginning have ever been executable, by whatever names."""

        def plan(view: View) -> Plan:
            spot = self.tree.find(NAMESPACES[actor], path)
            if isinstance(spot, int) or spot.node is None:
                return Plan(errors=(spot if isinstance(spot, int) else errno.ENOENT,))
            if not spot.node.content:
                return Plan(errors=(errno.EACCES,))
            name, known = self.named(spot)
            operations = view.operations(actor)
            identified = spot.node.content == world.GOOD
            verdicts = operations._code(name, identified, Right.EXECUTE, Right.WAIVE_EXECUTE_UNSIGNED)
            steps = list(label(verdicts, (Operation.EXEC, known), (Operation.EXEC, known)))
            who = CAST[actor].identity if operations.executes_as_self(name) else TOOL if identified else None
            errors = (errno.ENOEXEC,) if spot.node.content == EMPTIED else ()
            return Plan(steps, errors, becomes=identity_id(who) if who else 0)

        self.act(actor, f"exec {path!r}", plan, EXEC, path)

    # playing it --------------------------------------------------------------------------------------------

    def play(self, stage: Stage) -> Findings:
        """From the beginning, up to the first difference."""
        rounds = [Round(None, self._beginning())]
        rounds += [Round(*each) for each in zip(self.images, self.scripts, strict=True)]
        setup, *played = stage.play(rounds)
        for call, answer in zip(setup.script.calls, setup.answers, strict=True):
            assert answer["result"] >= 0 or b"/srv" in call[2], (call, answer["result"])
        found = Findings()
        for image, one, items in zip(self.images, played, self.items, strict=True):
            view = View(Evaluator(image), one, CAST)
            self._learn_labels(view)
            more = judge(view, items, to_the_first=True)
            found.judged, found.denied = found.judged + more.judged, found.denied + more.denied
            found.reported += more.reported
            if more.differences:
                found.differences += more.differences
                break
        return found

    def _learn_labels(self, view: View) -> None:
        """As the agent's search found them."""
        self.labels.clear()
        known: dict[str, int] = view.played.said["aliases"]
        for name, number in known.items():
            spot = self.tree.find(HOST, bytes.fromhex(name))
            assert not isinstance(spot, int), (bytes.fromhex(name), spot)
            assert spot.node
            if number:
                self.labels[spot.node] = number

    def _beginning(self) -> Script:
        """The tree as it is at first, in the guest and here."""
        script = Script()
        nothing = script.text(b"")
        script.do(0, SYS["mkdir"], b"/srv", 0o755)
        script.do(0, SYS["mount"], nothing, b"/", nothing, world.MS_REC | world.MS_PRIVATE, 0)
        for path in world.directories():
            script.do(0, SYS["mkdir"], path, 0o755)
            if path != ROOT:
                self._put(path, Node(is_directory=True))
            for name in world.FILES:
                self._put(path + b"/" + name, Node(is_directory=False))
                world.write_file(script, 0, path + b"/" + name, b"", mode=0o644)
        for path, content in PROGRAMS.items():
            self._put(path, Node(is_directory=False, content=content))
            world.write_file(script, 0, path, world.program(content), mode=0o755)
        for number, namespace in NAMESPACES.items():
            if namespace != HOST:
                script.do(number, SYS["unshare"], 0x00020000)
                script.do(number, SYS["mount"], nothing, b"/", nothing, world.MS_REC | world.MS_PRIVATE, 0)
                self.tree.unshare(namespace)
        return script

    def _put(self, path: bytes, node: Node) -> None:
        spot = self.tree.last(HOST, path)
        assert not isinstance(spot, int)
        assert spot.parent
        self.tree.put(spot.parent, spot.name, node)
