"""A round: random accesses one after the other, some of them with the tree changed around them."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from tests.guest.agreement import accesses, code, others, world
from tests.guest.agreement.accesses import CWD, EXCHANGE, Reach, Scene
from tests.guest.agreement.script import Got
from tests.guest.agreement.world import ACTORS, ROOT, SYS, Thing

NODES: Final = ("mkdir", "symlink", "file", "fifo", "socket", "device")
ATTRIBUTES: Final = ("chmod", "chown", "give", "touch", "utimes", "setxattr", "removexattr", "acl", "no-acl")
MAPPINGS: Final = ("plain", "plain", "shared", "mprotect", "writable")
HOLDS: Final = (os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND, os.O_RDWR | os.O_APPEND)
CODE: Final = tuple(thing for thing in world.PLAIN if thing.content)
FIFOS: Final = tuple(thing for thing in world.THINGS if thing.kind == "fifo")
FOLDERS: Final = tuple(thing for thing in world.THINGS if thing.kind in ("folder", "way"))
LINKED: Final = tuple(thing for thing in world.PLAIN if thing.inode)
SINGLE: Final = tuple(thing for thing in world.PLAIN if not thing.inode)


def scene(seed: str, numbers: Iterable[int]) -> Scene:
    """The accesses with these numbers. Each has a seed of its own, so that it can be made again alone."""
    made = Scene(random.Random(seed))
    made.pids = [Got(made.script.do(actor, SYS["getpid"])) for actor in range(len(ACTORS) + 1)]
    for number in numbers:
        made.rng = random.Random(f"{seed}/{number}")
        made.number = number
        actor = made.rng.randrange(1, len(ACTORS) + 1)
        made.rng.choices(list(CHOICES), list(CHOICES.values()))[0](made, actor)
    return made


def reach(scene: Scene, actor: int, thing: Thing, way: str | None = None) -> Reach | None:
    """How the actor gets there; None if it cannot."""
    ways = world.names(ACTORS[actor - 1], thing.path, thing.place)
    if thing.foreign and ACTORS[actor - 1].name not in world.PRIVATE:
        return None
    if not ways or (way and way not in ways):
        return None
    return Reach(thing, ways[way or scene.rng.choice(list(ways))])


def pair(scene: Scene, actor: int, one: Thing, other: Thing) -> tuple[Reach, Reach] | None:
    """Both, through the same mount."""
    for way in scene.rng.sample(("plain", "alias", "jail", "other"), 4):
        first, second = reach(scene, actor, one, way), reach(scene, actor, other, way)
        if first and second:
            return first, second
    return None


def some_file(scene: Scene, actor: int) -> Thing:
    """Mostly a plain file; sometimes what only this actor sees."""
    rng = scene.rng
    if ACTORS[actor - 1].name in world.PRIVATE and rng.random() < 0.3:
        return rng.choice(world.FOREIGN)
    if ACTORS[actor - 1].name in world.JAILED:
        return rng.choice([thing for thing in world.PLAIN if thing.path.startswith(world.JAIL + b"/")])
    return any_file(rng)


def any_file(rng: random.Random) -> Thing:
    """A plain file, often one with several names."""
    return rng.choice(LINKED if rng.random() < 0.25 else world.PLAIN)


def new_thing(scene: Scene, actor: int, place: str = "/") -> Thing:
    """A name that is free."""
    jailed = ACTORS[actor - 1].name in world.JAILED
    place = "/" if jailed else place
    folders = [
        thing
        for thing in FOLDERS
        if thing.place == place
        and thing.path not in (ROOT + b"/tmp", world.INNER)
        and (not jailed or thing.path.startswith(world.JAIL + b"/") or thing.path == world.JAIL)
    ]
    return Thing(scene.rng.choice(folders).path + b"/" + scene.rng.choice(world.NEW), place=place)


def opens(scene: Scene, actor: int) -> None:
    thing = scene.rng.choice((some_file(scene, actor), some_file(scene, actor), scene.rng.choice(FIFOS)))
    if at := reach(scene, actor, thing):
        flags = scene.rng.choice(accesses.OPEN_FLAGS)
        if thing.kind == "fifo":
            flags &= ~(os.O_TRUNC | os.O_CREAT)
        accesses.open_file(scene, actor, at, flags)


def proc(scene: Scene, actor: int) -> None:
    if ACTORS[actor - 1].name in world.JAILED:
        return
    own = scene.rng.choice((b"status", b"comm", b"task", b"../self/stat", b"fd"))
    kind = "folder" if own in (b"task", b"fd") else "file"
    path = b"/proc/self/" + own.rpartition(b"/")[2]
    if scene.rng.random() < 0.3:
        path = own = b"/proc/1/comm"
        accesses.open_file(scene, actor, Reach(Thing(path), path), os.O_RDONLY)
        return
    flags = os.O_RDWR if own == b"comm" and scene.rng.random() < 0.5 else os.O_RDONLY
    accesses.open_file(scene, actor, Reach(Thing(path, kind), b"/proc/self/" + own), flags)


def lists(scene: Scene, actor: int) -> None:
    if at := reach(scene, actor, scene.rng.choice(FOLDERS)):
        accesses.open_file(scene, actor, at, os.O_RDONLY | os.O_DIRECTORY)


def creates(scene: Scene, actor: int) -> None:
    if at := reach(scene, actor, new_thing(scene, actor, scene.rng.choice(("/", "/", "/", "tmp")))):
        accesses.create_file(scene, actor, at, scene.rng.choice(accesses.CREATE_FLAGS))


def creates_unnamed(scene: Scene, actor: int) -> None:
    if at := reach(scene, actor, scene.rng.choice(world.MOVABLE)):
        accesses.create_unnamed(scene, actor, at, scene.rng.choice((1, 2, 2)))


def nodes(scene: Scene, actor: int) -> None:
    if at := reach(scene, actor, new_thing(scene, actor)):
        accesses.make_node(scene, actor, at, scene.rng.choice(NODES))


def unlinks(scene: Scene, actor: int) -> None:
    thing = any_file(scene.rng) if scene.rng.random() < 0.9 else scene.rng.choice(FIFOS)
    if at := reach(scene, actor, thing):
        if thing.place == "inner":
            return
        accesses.unlink(scene, actor, at)


def rmdirs(scene: Scene, actor: int) -> None:
    if at := reach(scene, actor, scene.rng.choice(world.MOVABLE)):
        accesses.rmdir(scene, actor, at)


def renames(scene: Scene, actor: int) -> None:
    rng = scene.rng
    old = rng.choice(world.MOVABLE) if rng.random() < 0.5 else any_file(rng)
    replaced = None
    if old.kind == "folder":
        new = new_thing(scene, actor)
        if rng.random() < 0.15:
            new = replaced = rng.choice([thing for thing in world.MOVABLE if thing.path.endswith(b"/empty")])
        if (new.path + b"/").startswith(old.path + b"/"):
            return
    else:
        new = new_thing(scene, actor, old.place if old.place in ("/", "tmp") else "/")
        if rng.random() < 0.3:
            new = replaced = rng.choice(SINGLE)
        elif old.inode and rng.random() < 0.3:
            new = replaced = rng.choice([thing for thing in world.PLAIN if thing.inode == old.inode])
    if old.path == new.path or old.place != new.place or {old.place, new.place} & {"inner", "private"}:
        return
    if ways := pair(scene, actor, old, new):
        flags = accesses.NOREPLACE if not replaced and rng.random() < 0.2 else 0
        accesses.rename(scene, actor, *ways, replaces=replaced, flags=flags)


def exchanges(scene: Scene, actor: int) -> None:
    rng = scene.rng
    old, new = (rng.choice(rng.choice((world.MOVABLE, SINGLE))) for _ in range(2))
    nested = any((a.path + b"/").startswith(b.path + b"/") for a, b in ((old, new), (new, old)))
    if nested or old.place != new.place or old.place != "/":
        return
    if ways := pair(scene, actor, old, new):
        accesses.exchange(scene, actor, *ways)


def links(scene: Scene, actor: int) -> None:
    old = any_file(scene.rng)
    if old.place not in ("/", "tmp"):
        return
    if ways := pair(scene, actor, old, new_thing(scene, actor, old.place)):
        accesses.link(scene, actor, *ways)


def truncates(scene: Scene, actor: int) -> None:
    if (at := reach(scene, actor, some_file(scene, actor))) and at.thing.place != "inner":
        accesses.truncate(scene, actor, at)


def changes_attributes(scene: Scene, actor: int) -> None:
    thing = some_file(scene, actor) if scene.rng.random() < 0.7 else scene.rng.choice(world.MOVABLE)
    if thing.place in ("inner", "private"):
        return
    if at := reach(scene, actor, thing):
        accesses.attributes(scene, actor, at, scene.rng.choice(ATTRIBUTES))


def descriptors(scene: Scene, actor: int) -> None:
    thing = some_file(scene, actor)
    if scene.rng.random() < 0.2:
        accesses.device_ioctl(scene, actor)
    elif at := reach(scene, actor, thing):
        scene.rng.choice((accesses.set_flags, accesses.no_append))(scene, actor, at)


def executes(scene: Scene, actor: int) -> None:
    if at := reach(scene, actor, scene.rng.choice(CODE)):
        code.execute(scene, actor, at)


def carries(scene: Scene, actor: int) -> None:
    program = scene.rng.choice([thing for thing in CODE if not thing.content.endswith(b"script")])
    at, by = reach(scene, actor, some_file(scene, actor)), reach(scene, actor, program)
    if at and by:
        # what is open for writing is not executed
        code.carry(scene, actor, at, by, os.O_RDONLY if at.thing.content else scene.rng.choice(HOLDS))


def maps_code(scene: Scene, actor: int) -> None:
    kind = scene.rng.random()
    if kind < 0.2:
        code.make_code(scene, actor)
    elif kind < 0.3:
        code.memfd(scene, actor)
    elif at := reach(scene, actor, scene.rng.choice(CODE)):
        code.map_code(scene, actor, at, scene.rng.choice(MAPPINGS))


# The tree changes around an access -----------------------------------------------------------------------


def _plain_access(scene: Scene, actor: int, thing: Thing) -> None:
    at = Reach(thing, thing.path)
    kind = scene.rng.random()
    if kind < 0.5 or not thing.content:
        accesses.open_file(scene, actor, at, scene.rng.choice(accesses.OPEN_FLAGS) & ~os.O_TRUNC)
    elif kind < 0.8:
        code.execute(scene, actor, at)
    else:
        code.map_code(scene, actor, at, "plain")


def _below(folder: Thing) -> list[Thing]:
    return [
        thing
        for thing in world.PLAIN
        if thing.path.startswith(folder.path + b"/") and thing.place == "/" and len(thing.path) < 1000
    ]


def _at_large(actor: int) -> bool:
    return ACTORS[actor - 1].name not in (*world.JAILED, *world.PRIVATE)


def moved(scene: Scene, actor: int) -> None:
    """A folder is somewhere else for a while; what is below it is judged by where it is."""
    folder = scene.rng.choice(world.MOVABLE)
    inside = _below(folder)
    if not _at_large(actor) or not inside:
        return
    target = new_thing(scene, actor).path
    if (target + b"/").startswith(folder.path + b"/"):
        return
    some = scene.rng.sample(inside, min(len(inside), 3))
    for thing in some[:2]:
        _plain_access(scene, actor, thing)
    scene.also(0, "rename", folder.path, target)
    for thing in some:
        inode = thing.inode and f"{thing.inode}"
        _plain_access(scene, actor, replace(thing, path=target + thing.path[len(folder.path) :], inode=inode))
    scene.also(0, "rename", target, folder.path)
    for thing in some[1:]:
        _plain_access(scene, actor, thing)


def exchanged(scene: Scene, actor: int) -> None:
    """Two folders have each other's names for a while."""
    one, other = scene.rng.sample(world.MOVABLE, 2)
    if not _at_large(actor) or any(
        (a.path + b"/").startswith(b.path + b"/") for a, b in ((one, other), (other, one))
    ):
        return
    both = [(one, other), (other, one)]
    scene.also(0, "renameat2", CWD, one.path, CWD, other.path, EXCHANGE)
    for here, there in both:
        for thing in scene.rng.sample(_below(here), min(2, len(_below(here)))):
            _plain_access(scene, actor, thing.at(there.path + thing.path[len(here.path) :]))
    scene.also(0, "renameat2", CWD, one.path, CWD, other.path, EXCHANGE)


def replaced(scene: Scene, actor: int) -> None:
    """A file is renamed over, or made anew: another inode by the same name."""
    thing = scene.rng.choice(SINGLE)
    if not _at_large(actor) or thing.place != "/":
        return
    _plain_access(scene, actor, thing)
    other = thing.at(thing.path[:-1] + b"~") if len(thing.path) < 3000 else thing
    if other is thing:
        scene.also(0, "unlink", thing.path)
    scene.effect(len(scene.script) - 1, lambda view: view.renewed(thing))
    world.make(scene.script, other)
    if other is not thing:
        step = scene.also(0, "rename", other.path, thing.path)
        scene.effect(step, lambda view: view.renewed(thing))
    _plain_access(scene, actor, thing)


def bound(scene: Scene, actor: int) -> None:
    """A newer bind mount renames nothing."""
    folder = scene.rng.choice([thing for thing in world.MOVABLE if _below(thing)])
    if not _at_large(actor):
        return
    place = ROOT + b"/lib/lib/empty"
    nothing = scene.script.text(b"")
    if place.startswith(folder.path + b"/") and scene.rng.random() < 0.5:
        return
    scene.also(0, "mount", folder.path, place, nothing, world.MS_BIND, 0)
    for thing in scene.rng.sample(_below(folder), min(2, len(_below(folder)))):
        at = Reach(thing, place + thing.path[len(folder.path) :])
        accesses.open_file(scene, actor, at, scene.rng.choice(accesses.OPEN_FLAGS[:6]))
    scene.also(0, "umount2", place, 2)


def mounted(scene: Scene, actor: int) -> None:
    """A tmpfs over a folder, perhaps moved to another one while files of it are known."""
    if not _at_large(actor):
        return
    first, second = ROOT + b"/ab/empty", ROOT + b"/lib/lib/empty"
    nothing = scene.script.text(b"")
    scene.also(0, "mount", b"agree", first, b"tmpfs", 0, 0)
    names = (b"/x", b"/x.log")
    for name in names:
        world.write_file(scene.script, 0, first + name, b"", mode=0o644)
    for name in names:
        accesses.open_file(
            scene, actor, Reach(Thing(first + name), first + name), scene.rng.choice(accesses.OPEN_FLAGS[:6])
        )
    scene.also(0, "mount", first, second, nothing, world.MS_MOVE, 0)
    for name in names:
        accesses.open_file(
            scene,
            actor,
            Reach(Thing(second + name), second + name),
            scene.rng.choice(accesses.OPEN_FLAGS[:6]),
        )
    scene.also(0, "umount2", second, 2)


def hard_linked(scene: Scene, actor: int) -> None:
    """A second name: the first one's protection goes with the file."""
    thing = scene.rng.choice(SINGLE)
    new = new_thing(scene, actor)
    if not _at_large(actor) or thing.place != "/" or len(thing.path) > 1000:
        return
    made = scene.also(0, "link", thing.path, new.path)
    scene.effect(made, lambda view: view.linked(thing, new))
    for each in (thing, new):
        _plain_access(scene, actor, replace(thing, path=each.path, inode=repr(thing.path)))
    scene.also(0, "unlink", new.path)


Choice = Callable[[Scene, int], None]

CHOICES: Final[dict[Choice, float]] = {
    opens: 10,
    proc: 1,
    lists: 2,
    creates: 5,
    creates_unnamed: 1,
    nodes: 4,
    unlinks: 3,
    rmdirs: 2,
    renames: 8,
    exchanges: 3,
    links: 4,
    truncates: 2,
    changes_attributes: 4,
    descriptors: 3,
    executes: 4,
    carries: 3,
    maps_code: 4,
    moved: 1,
    exchanged: 1,
    replaced: 1,
    bound: 1,
    mounted: 0.5,
    hard_linked: 2,
    others.network: 6,
    others.unix_connect: 3,
    others.unix_listen: 3,
    others.special: 4,
    others.toward: 3,
}
