"""Random accesses that run code: executed, mapped, or made in memory."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator

from bpf_lsm.layout import Operation
from policies.image import Builtin, Right
from policies.names import identity_id
from policies.operations import LAST_CHOSEN, Operations
from tests.guest.agreement import accesses, world
from tests.guest.agreement.accesses import (
    MAP_ANONYMOUS,
    MAP_PRIVATE,
    MAP_SHARED,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    Reach,
    Scene,
)
from tests.guest.agreement.judge import Step, View, label
from tests.guest.agreement.script import EXEC, EXECAT, Got
from tests.guest.agreement.stage import TOOL
from tests.guest.agreement.world import ACTORS, Thing


def _code(view: View, actor: int, thing: Thing, right: Right, operation: Operation) -> Iterator[Step]:
    operations = view.operations(actor)
    waiver = Right.WAIVE_EXECUTE_UNSIGNED if right is Right.EXECUTE else Right.WAIVE_MAP_UNSIGNED
    made = operations._code(view.name(thing), thing.identified, right, waiver)
    yield from label(made, (operation, thing.path), (operation, thing.path))


def _executed(view: View, actor: int, thing: Thing) -> Iterator[Step]:
    yield from _code(view, actor, thing, Right.EXECUTE, Operation.EXEC)
    operations = view.operations(actor)
    if thing.content == world.ODD_SCRIPT and not operations.executes_as_self(view.name(thing)):
        verdict = view.evaluator.builtin(operations.row, Builtin.UNIDENTIFIED_PROGRAM, Right.EXECUTE)
        yield Step(verdict, Operation.EXEC, world.ROOT + b"/stray")


def _becomes(view: View, actor: int, thing: Thing) -> str | None:
    """The identity after an exec."""
    if view.operations(actor).executes_as_self(view.name(thing)):
        return ACTORS[actor - 1].identity
    return TOOL if thing.identified else None


def _named(identity: str | None) -> int:
    return identity_id(identity) if identity else 0


def execute(scene: Scene, actor: int, at: Reach) -> None:
    thing = at.thing

    def asked(view: View) -> Iterator[Step]:
        return _executed(view, actor, thing)

    def becomes(view: View) -> int:
        return _named(_becomes(view, actor, thing))

    natural = (
        [errno.ENOENT] if ACTORS[actor - 1].name in world.JAILED and thing.content.endswith(b"script") else []
    )
    if scene.rng.random() < 0.7:
        scene.ask(actor, f"exec {at}", EXEC, at.name, asked=asked, becomes=becomes, natural=natural)
        return
    opened = scene.also(actor, "open", at.name, os.O_PATH)
    if thing.content.endswith(b"script"):
        natural = [errno.ENOENT]
    scene.ask(
        actor, f"execveat {at} by descriptor", EXECAT, Got(opened), b"", 0x1000, asked=asked, becomes=becomes,
        natural=natural,
    )  # fmt: skip
    scene.close(actor, opened)


def carry(scene: Scene, actor: int, at: Reach, program: Reach, flags: int) -> None:
    """An exec with a file open: another subject is asked whether it may hold that."""
    opened = accesses.opened_first(scene, actor, at, flags, "to carry it over")

    def asked(view: View) -> Iterator[Step]:
        yield from _executed(view, actor, program.thing)
        row = view.evaluator.row(_becomes(view, actor, program.thing))
        if row != view.operations(actor).row:
            operations = Operations(view.evaluator, row)
            verdict = operations.inherit(view.name(at.thing), flags, LAST_CHOSEN + 1)
            yield Step(verdict, Operation.INHERIT, at.thing.path, row=row)

    def becomes(view: View) -> int:
        return _named(_becomes(view, actor, program.thing))

    what = f"exec {program} with {at} open ({flags:#o})"
    scene.ask(actor, what, EXEC, program.name, asked=asked, becomes=becomes, only_if=opened)
    scene.close(actor, opened)


def map_code(scene: Scene, actor: int, at: Reach, kind: str) -> None:
    thing = at.thing
    opened = accesses.opened_first(scene, actor, at, os.O_RDONLY, "to map it")

    def asked(view: View) -> Iterator[Step]:
        operation = Operation.MPROTECT if kind == "mprotect" else Operation.MMAP
        if kind == "writable":
            yield Step(view.operations(actor).jit(), operation)
            return
        yield from _code(view, actor, thing, Right.MAP_EXEC, operation)

    what = f"map {at} as code ({kind})"
    if (
        kind == "mprotect"
    ):  # only finds a digest that was taken before: when it was mapped as code or executed
        code = scene.also(
            actor, "mmap", 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, Got(opened), 0, only_if=opened
        )
        scene.also(actor, "munmap", Got(code), 4096, only_if=code)
        mapped = scene.also(actor, "mmap", 0, 4096, PROT_READ, MAP_PRIVATE, Got(opened), 0, only_if=opened)
        scene.ask(
            actor, what, "mprotect", Got(mapped), 4096, PROT_READ | PROT_EXEC, asked=asked, only_if=mapped
        )
    else:
        protection = PROT_READ | PROT_EXEC | (PROT_WRITE if kind == "writable" else 0)
        flags = MAP_SHARED if kind == "shared" else MAP_PRIVATE
        mapped = scene.ask(
            actor, what, "mmap", 0, 4096, protection, flags, Got(opened), 0, asked=asked, only_if=opened
        )
    scene.also(actor, "munmap", Got(mapped), 4096, only_if=mapped)
    scene.close(actor, opened)


def make_code(scene: Scene, actor: int) -> None:
    """Code that no file vouches for."""

    def asked(operation: Operation) -> Callable[[View], Iterator[Step]]:
        def ask(view: View) -> Iterator[Step]:
            yield Step(view.operations(actor).jit(), operation)

        return ask

    flags = scene.rng.choice((MAP_PRIVATE, MAP_SHARED)) | MAP_ANONYMOUS
    if scene.rng.random() < 0.5:
        mapped = scene.ask(
            actor, "map anonymous code", "mmap", 0, 4096, PROT_READ | PROT_EXEC, flags, -1, 0,
            asked=asked(Operation.MMAP),
        )  # fmt: skip
    else:
        mapped = scene.also(actor, "mmap", 0, 4096, PROT_READ | PROT_WRITE, flags, -1, 0)
        scene.ask(
            actor, "make memory code", "mprotect", Got(mapped), 4096, PROT_READ | PROT_EXEC,
            asked=asked(Operation.MPROTECT),
        )  # fmt: skip
    scene.also(actor, "munmap", Got(mapped), 4096, only_if=mapped)


def memfd(scene: Scene, actor: int) -> None:
    """A file without a path: data may pass, code may not."""
    kind = scene.rng.choice(("exec", "map", "open"))
    tool = world.program(world.GOOD)
    made = scene.also(actor, "memfd_create", b"agree", 0)
    scene.also(actor, "write", Got(made), scene.script.data(tool), len(tool))

    def asked(right: Right, operation: Operation) -> Callable[[View], Iterator[Step]]:
        def ask(view: View) -> Iterator[Step]:
            row = view.operations(actor).row
            yield Step(view.evaluator.builtin(row, Builtin.NO_PATH, right), operation)
            empty = view.evaluator.cell(row, 0)
            waiver = Right.WAIVE_EXECUTE_UNSIGNED if right is Right.EXECUTE else Right.WAIVE_MAP_UNSIGNED
            if not empty.allow >> waiver & 1:
                yield Step(view.evaluator.builtin(row, Builtin.UNIDENTIFIED_PROGRAM, right), operation)

        return ask

    if kind == "exec":
        scene.ask(
            actor, "exec a memfd", EXECAT, Got(made), b"", 0x1000,
            asked=asked(Right.EXECUTE, Operation.EXEC), natural=[errno.ETXTBSY],
        )  # fmt: skip
    elif kind == "map":
        mapped = scene.ask(
            actor, "map a memfd as code", "mmap", 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, Got(made), 0,
            asked=asked(Right.MAP_EXEC, Operation.MMAP),
        )  # fmt: skip
        scene.also(actor, "munmap", Got(mapped), 4096, only_if=mapped)
    scene.close(actor, made)
