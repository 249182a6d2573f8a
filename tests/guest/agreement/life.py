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
from policies.image import Right, Special
from policies.names import identity_id
from policies.operations import Name
from tests.guest.agreement import world
from tests.guest.agreement.accesses import CWD, EXCHANGE, NOREPLACE
from tests.guest.agreement.judge import Effect, Findings, Outcome, Step, View, judge, label
from tests.guest.agreement.script import EXEC, FORMAT, Argument, Got, Script
from tests.guest.agreement.stage import LEAD, TOOL, Actor, Round, Stage
from tests.guest.agreement.tree import HOST, FileSystem, Node, Spot, Tree
from tests.guest.agreement.world import ACTORS, PRIVATE, ROOT, SYS

CAST: Final = (Actor("lead", LEAD), *ACTORS)
PLAYERS: Final = tuple(number for number, actor in enumerate(CAST) if actor.name not in world.JAILED)
NAMESPACES: Final = {number: number if CAST[number].name in PRIVATE else HOST for number in PLAYERS}
PROGRAMS: Final = {ROOT + b"/tool": world.GOOD, ROOT + b"/a/tool": world.GOOD, ROOT + b"/stray": world.STRAY}
EMPTIED: Final = b"emptied"
"""What was a program."""
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8

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

    def _act(
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

    def _close(self, actor: int, descriptor: int) -> None:
        self.scripts[-1].do(actor, SYS["close"], Got(descriptor), only_if=descriptor)

    # what is asked of the evaluator ------------------------------------------------------------------------

    def _named(self, spot: Spot) -> tuple[Name, bytes]:
        known = self.tree.known(spot)
        node = spot.node
        alias = self.labels.get(node) if node and not node.is_directory and node.links > 1 else None
        return Name(known.path, known.foreign, alias), known.path

    def _label(self, view: View, node: Node, old: Name, new: Name) -> None:
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
            name, known = self._named(spot)
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

        opened = self._act(actor, f"open {path!r} {flags:#o}", plan, "open", path, flags, 0o644)
        self._close(actor, opened)

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
            name, known = self._named(spot)
            operation = Operation.MKDIR if directory else Operation.CREATE
            steps = [Step(view.operations(actor).create(name), operation, known)]
            return Plan(
                steps,
                change=lambda result, denied: self._create(spot, made=result >= 0, directory=directory),
            )

        if directory:
            self._act(actor, f"mkdir {path!r}", plan, "mkdir", path, 0o755)
        else:
            self._act(actor, f"mknod {path!r}", plan, "mknod", path, 0o100644, 0)

    def remove(self, actor: int, path: bytes, *, directory: bool) -> None:
        """unlink(2) or rmdir(2)."""

        def plan(view: View) -> Plan:
            spot = self.tree.last(NAMESPACES[actor], path)
            if isinstance(spot, int):
                return Plan(errors=(spot,))
            node, parent = spot.node, spot.parent
            if node is None or parent is None:
                return Plan(errors=(errno.ENOENT, errno.EBUSY))
            name, known = self._named(spot)
            verdict = view.operations(actor).unlink(name)
            steps = [Step(verdict, Operation.RMDIR if directory else Operation.UNLINK, known)]
            errors: list[int] = []
            if not directory and node.is_directory:
                errors.append(errno.EISDIR)
            if directory and not node.is_directory:
                errors.append(errno.ENOTDIR)
            if directory and node.children:
                errors.append(errno.ENOTEMPTY)
            if self._is_mount_point(actor, node):
                errors.append(errno.EBUSY)
            return Plan(
                steps,
                tuple(errors),
                lambda result, denied: self.tree.remove(parent, spot.name) if result >= 0 else None,
            )

        call = "rmdir" if directory else "unlink"
        self._act(actor, f"{call} {path!r}", plan, call, path)

    def _is_mount_point(self, actor: int, node: Node | None) -> bool:
        return node is not None and any(
            mount.point is node and mount.namespace == NAMESPACES[actor] for mount in self.tree.mounts()
        )

    def rename(self, actor: int, old: bytes, new: bytes, flags: int) -> None:
        """renameat2(2)."""

        def plan(view: View) -> Plan:
            one, other = (self.tree.last(NAMESPACES[actor], path) for path in (old, new))
            if isinstance(one, int) or isinstance(other, int):
                return Plan(errors=tuple(each for each in (one, other) if isinstance(each, int)))
            if errors := self._cannot_rename(one, other, flags):
                return Plan(errors=errors)
            assert one.node
            (name, known), (target, known_target) = self._named(one), self._named(other)
            operations = view.operations(actor)
            folders = one.node.is_directory, bool(other.node and other.node.is_directory)
            if flags & EXCHANGE:
                verdicts = operations._exchange(name, target, *folders)
            else:
                verdicts = operations._rename(name, target, folders[0], other.node is not None)
            to = (Operation.RENAME_TO, known_target)
            steps = list(label(verdicts, (Operation.RENAME, known), to, to))
            late: list[int] = []
            if one.node is not other.node:
                if any(self._is_mount_point(actor, each.node) for each in (one, other)):
                    late.append(errno.EBUSY)
                if other.node and not flags & EXCHANGE:
                    if folders[0] != folders[1]:
                        late.append(errno.ENOTDIR if folders[0] else errno.EISDIR)
                    elif other.node.children:
                        late.append(errno.ENOTEMPTY)
            return Plan(steps, tuple(late), lambda result, denied: self._moved(one, other, flags, result))

        what = f"rename {old!r} to {new!r}{' (exchange)' if flags & EXCHANGE else ''}"
        self._act(actor, what, plan, "renameat2", CWD, old, CWD, new, flags)

    def _cannot_rename(self, one: Spot, other: Spot, flags: int) -> tuple[int, ...]:
        """Errors before any hook is asked."""
        errors: list[int] = []
        if one.parent is None or other.parent is None:
            errors += (errno.EBUSY, errno.EXDEV, errno.EINVAL)
        if one.mount is not other.mount:
            errors.append(errno.EXDEV)
        if one.node is None or (flags & EXCHANGE and other.node is None):
            errors.append(errno.ENOENT)
        if flags & NOREPLACE and other.node:
            errors.append(errno.EEXIST)
        if one.node and one.node.is_directory and self.tree.holds(one.node, other.parent):
            errors.append(errno.EINVAL)
        if other.node and other.node.is_directory and self.tree.holds(other.node, one.parent):
            errors += (errno.EINVAL, errno.ENOTEMPTY)
        return tuple(errors)

    def _moved(self, one: Spot, other: Spot, flags: int, result: int) -> None:
        if result < 0 or one.node is other.node:
            return
        assert one.parent
        assert other.parent
        assert one.node
        if flags & EXCHANGE:
            assert other.node
            self.tree.put(one.parent, one.name, other.node)
        else:
            if other.node:
                self.tree.remove(other.parent, other.name)
            del one.parent.children[one.name]
        self.tree.put(other.parent, other.name, one.node)

    def link(self, actor: int, old: bytes, new: bytes) -> None:
        """link(2)."""

        def plan(view: View) -> Plan:
            one = self.tree.find(NAMESPACES[actor], old)
            if isinstance(one, int) or one.node is None:
                return Plan(errors=(one if isinstance(one, int) else errno.ENOENT,))
            return self._linking(view, actor, one, self._named(one), new)

        self._act(actor, f"link {old!r} to {new!r}", plan, "link", old, new)

    def _linking(self, view: View, actor: int, one: Spot, old: tuple[Name, bytes], new: bytes) -> Plan:
        (name, known), node = old, one.node
        assert node
        other = self.tree.last(NAMESPACES[actor], new)
        if isinstance(other, int):
            return Plan(errors=(other,))
        early = [errno.EEXIST] if other.node else []
        early += [errno.EXDEV] if other.mount is not one.mount else []
        if early:
            return Plan(errors=tuple(early))
        target, known_target = self._named(other)
        to = (Operation.LINK_TO, known_target)
        steps = list(label(view.operations(actor)._link(name, target), (Operation.LINK, known), to, to))

        def change(result: int, denied: bool) -> None:
            if not denied:
                self._label(view, node, name, target)
            if result >= 0:
                assert other.parent
                self.tree.put(other.parent, other.name, node)
                node.links += 1

        return Plan(steps, (errno.EPERM,) if node.is_directory else (), change)

    def link_unnamed(self, actor: int, folder: bytes, new: bytes) -> None:
        """A file without a name (O_TMPFILE) is given one."""

        def where() -> Spot | int:
            spot = self.tree.find(NAMESPACES[actor], folder)
            if isinstance(spot, int):
                return spot
            return errno.ENOENT if spot.node is None else spot

        def unnamed(spot: Spot) -> tuple[Name, bytes]:
            known = self.tree.known(spot)
            return Name(known.path + b"/#12", known.foreign), known.path + b"/#"

        def opening(view: View) -> Plan:
            spot = where()
            if isinstance(spot, int):
                return Plan(errors=(spot,))
            assert spot.node
            if not spot.node.is_directory:
                return Plan(errors=(errno.ENOTDIR,))
            name, known = unnamed(spot)
            verdict = view.operations(actor).open(name, os.O_RDWR | os.O_TMPFILE)
            return Plan([Step(verdict, Operation.OPEN, known)])

        def linking(view: View) -> Plan:
            spot = where()
            assert not isinstance(spot, int)
            nameless = Spot(spot.mount, None, b"", Node(is_directory=False, links=0))
            return self._linking(view, actor, nameless, unnamed(spot), new)

        flags = os.O_RDWR | os.O_TMPFILE
        opened = self._act(actor, f"O_TMPFILE in {folder!r}", opening, "open", folder, flags, 0o644)
        script = self.scripts[-1]
        place = script.space(256)
        script.do(actor, FORMAT, place, b"/proc/self/fd/%d", Got(opened), only_if=opened)
        self._act(
            actor, f"linkat of that to {new!r}", linking, "linkat", CWD, place, CWD, new, 0x400,
            only_if=opened,
        )  # fmt: skip
        self._close(actor, opened)

    def change(self, actor: int, path: bytes, kind: str) -> None:
        """truncate(2), utimensat(2)."""

        def plan(view: View) -> Plan:
            spot = self.tree.find(NAMESPACES[actor], path)
            if isinstance(spot, int) or spot.node is None:
                return Plan(errors=(spot if isinstance(spot, int) else errno.ENOENT,))
            name, known = self._named(spot)
            operations = view.operations(actor)
            if kind == "touch":
                return Plan([Step(operations.attributes(name), Operation.UTIMES, known)])
            if spot.node.is_directory:
                return Plan(errors=(errno.EISDIR,))
            steps = [Step(operations.truncate(name), Operation.TRUNCATE, known)]
            return Plan(steps, change=self._empties(spot.node))

        call: tuple[Argument, ...] = (CWD, path, 0, 0) if kind == "touch" else (path, 0)
        self._act(actor, f"{kind} {path!r}", plan, "utimensat" if kind == "touch" else "truncate", *call)

    def execute(self, actor: int, path: bytes) -> None:
        """execve(2); only the programs of the beginning have ever been executable, by whatever names."""

        def plan(view: View) -> Plan:
            spot = self.tree.find(NAMESPACES[actor], path)
            if isinstance(spot, int) or spot.node is None:
                return Plan(errors=(spot if isinstance(spot, int) else errno.ENOENT,))
            if not spot.node.content:
                return Plan(errors=(errno.EACCES,))
            name, known = self._named(spot)
            operations = view.operations(actor)
            identified = spot.node.content == world.GOOD
            verdicts = operations._code(name, identified, Right.EXECUTE, Right.WAIVE_EXECUTE_UNSIGNED)
            steps = list(label(verdicts, (Operation.EXEC, known), (Operation.EXEC, known)))
            who = CAST[actor].identity if operations.executes_as_self(name) else TOOL if identified else None
            errors = (errno.ENOEXEC,) if spot.node.content == EMPTIED else ()
            return Plan(steps, errors, becomes=identity_id(who) if who else 0)

        self._act(actor, f"exec {path!r}", plan, EXEC, path)

    def mount(self, actor: int, path: bytes, source: bytes | None) -> None:
        """A tmpfs, or a bind mount of a directory."""

        def plan(view: View) -> Plan:
            spot = self.tree.find(NAMESPACES[actor], path)
            if isinstance(spot, int) or spot.node is None or not spot.node.is_directory:
                return Plan(errors=(_no_directory(spot),))
            steps = self._mounting(view, actor, spot, Operation.MOUNT, NAMESPACES[actor] == HOST)
            if source is None:
                system = FileSystem(Node(is_directory=True))
                root = system.root
            else:
                shown = self.tree.find(NAMESPACES[actor], source)
                if isinstance(shown, int) or shown.node is None or not shown.node.is_directory:
                    return Plan(steps, (_no_directory(shown),))
                system, root = shown.mount.system, shown.node
            return Plan(
                steps,
                change=lambda result, denied: self.tree.mount(system, root, spot) if result >= 0 else None,
            )

        nothing = self.scripts[-1].text(b"")
        if source is None:
            what = f"mount a tmpfs on {path!r}"
            self._act(actor, what, plan, "mount", b"agree", path + b"/.", b"tmpfs", 0, 0)
        else:
            what = f"bind {source!r} to {path!r}"
            self._act(actor, what, plan, "mount", source + b"/.", path + b"/.", nothing, world.MS_BIND, 0)

    def _mounting(
        self, view: View, actor: int, spot: Spot, operation: Operation, concerns_others: bool
    ) -> list[Step]:
        name, known = self._named(spot)
        operations = view.operations(actor)
        steps = [Step(operations.special(Special.MOUNT), operation, None, errno.EPERM)]
        if concerns_others:
            steps.append(Step(operations.mount_over(name), operation, known))
        return steps

    def unmount(self, actor: int, path: bytes) -> None:
        """umount2(2), lazily."""

        def plan(view: View) -> Plan:
            spot = self.tree.find(NAMESPACES[actor], path)
            if isinstance(spot, int) or spot.node is None:
                return Plan(errors=(spot if isinstance(spot, int) else errno.ENOENT,))
            mount = spot.mount
            if mount.under is None or spot.node is not mount.root:
                return Plan(errors=(errno.EINVAL,))
            steps = self._mounting(view, actor, spot, Operation.UMOUNT, mount.namespace == HOST)
            return Plan(
                steps, change=lambda result, denied: self.tree.unmount(mount) if result >= 0 else None
            )

        self._act(actor, f"unmount {path!r}", plan, "umount2", path, MNT_DETACH | UMOUNT_NOFOLLOW)

    def move_mount(self, old: bytes, new: bytes) -> None:
        """The lead moves a mount."""
        nothing = self.scripts[-1].text(b"")
        step = self.scripts[-1].do(0, SYS["mount"], old, new + b"/.", nothing, world.MS_MOVE, 0)
        self.told.append(f"lead: move the mount {old!r} to {new!r}")

        def moved(view: View) -> None:
            one, other = self.tree.find(HOST, old), self.tree.find(HOST, new)
            assert not isinstance(one, int)
            assert not isinstance(other, int)
            one.mount.under, one.mount.point = other.mount, other.node

        self.items[-1].append(Effect(step, moved))

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


def _no_directory(spot: Spot | int) -> int:
    if isinstance(spot, int):
        return spot
    return errno.ENOENT if spot.node is None else errno.ENOTDIR
