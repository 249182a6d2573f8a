"""Menshen's own programs: their launchers, their identity, their unit.

A launcher is a script whose interpreter runs in isolated mode (-I): the digest that the kernel knows is the
script's, so nothing else that the caller chooses (PYTHONPATH, the current folder, user site-packages) may say
what runs under it. pip cannot write such a script, so we do, in the place of pip's.
"""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from enforcer.errors import EnforcerError
from enforcer.names import AGENT, COMMAND, EARLY, LIBRARY, WATCH
from enforcer.places import GROUP, Places
from identity import catalogue_file
from identity.catalogue import Catalogue, Entry, Source
from identity.errors import IdentityError
from identity.executables import is_code, sha256, walk
from identity.files import write_atomically

LAUNCHERS = {
    "menshen": ("enforcer.cli", COMMAND),
    "menshen-agent": ("enforcer.agent.run", AGENT),
    "menshen-watch": ("enforcer.watch.run", WATCH),
    "menshen-early": ("enforcer.boot.run", EARLY),
}
"""Name in bin/: the module whose main() it runs, and its identity."""

_SCRIPT = """\
#!{python} -I
# Written by `menshen enrol-self`: its digest is the identity {identity}. -I keeps the caller's paths out.
import sys

from {module} import main

sys.exit(main())
"""
_UNITS = ("menshen-early.service", "menshen.service", "menshen-watch.service")
_INITRAMFS = {
    "init-top": "etc/initramfs-tools/scripts/init-top/menshen",
    "init-bottom": "etc/initramfs-tools/scripts/init-bottom/menshen",
}
_FIRST = "menshen-init"
"""In bin/: what the initramfs starts in the place of the system's init."""
_SHIPPED_PREFIX = "/opt/menshen/"
_EVIDENCE = "menshen enrol-self"


@dataclass(slots=True)
class Enrolled:
    """What was done."""

    launchers: list[Path] = field(default_factory=list)
    libraries: int = 0
    units: list[Path] = field(default_factory=list)
    scripts: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def enrol_self(places: Places, prefix: Path, *, service: bool, initramfs: bool = False) -> Enrolled:
    """Write the launchers, put them and the libraries of `prefix` into the catalogue, install the units.

    `initramfs`: also install what has the gate start before the system does, by initramfs-tools.
    """
    done = Enrolled()
    python = prefix / "bin/python"
    if not python.exists():
        raise EnforcerError(f"{prefix} is no Python environment", f"there is no {python}")
    entries = []
    for name, (module, identity) in LAUNCHERS.items():
        path = prefix / "bin" / name
        text = _SCRIPT.format(python=python, module=module, identity=identity).encode()
        if not path.is_file() or path.read_bytes() != text:
            write_atomically(path, text, mode=0o755)
        done.launchers.append(path)
        entries.append(_entry(path, identity))
    libraries = [_entry(path, LIBRARY) for path in _libraries(prefix)]
    done.libraries = len(libraries)
    _store(places, [*entries, *libraries])
    if service:
        done.units = [_install_unit(places, prefix, unit) for unit in _UNITS]
        subprocess.run(["systemctl", "daemon-reload"], check=False, capture_output=True)
        _make_group(done)
    if initramfs:
        done.scripts = list(install_initramfs(places.root, prefix, prefix))
    return done


def install_initramfs(root: Path, into: Path, prefix: Path) -> Iterator[Path]:
    """Write the scripts for initramfs-tools below `root`, and what they start, at `prefix`, to `into`."""
    folder = resources.files("enforcer").joinpath("boot/initramfs")
    targets = {name: root / place for name, place in _INITRAMFS.items()} | {_FIRST: into / "bin" / _FIRST}
    for name, target in targets.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        text = folder.joinpath(name).read_text().replace(_SHIPPED_PREFIX, f"{prefix}/")
        write_atomically(target, text.encode(), mode=0o755)
        yield target


def launcher_fault(places: Places, script: Path) -> str:
    """Why `script` would not be known as the agent at its next start; empty if it would."""
    if not sys.flags.isolated:
        return "it does not run in isolated mode (python -I)"
    try:
        found = _load(places).get(sha256(script))
    except (IdentityError, OSError) as error:
        return str(error)
    if found is None or found.identity != AGENT:
        return f"the catalogue does not know {script} as {AGENT}"
    return ""


def _entry(path: Path, identity: str) -> Entry:
    try:
        who = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        who = str(os.getuid())
    return Entry(
        digest=sha256(path),
        identity=identity,
        source=Source.ENROLLED,
        path=str(path),
        evidence=_EVIDENCE,
        by=who,
        at=int(time.time()),
    )


def _libraries(prefix: Path) -> Iterator[Path]:
    """What is mapped as code: the environment's shared objects, and its interpreter if it has its own."""
    for found in walk(prefix):
        path = Path(found.path)
        if (".so" in path.name or path.parent == prefix / "bin") and is_code(path) and not _is_script(path):
            yield path


def _is_script(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(2) == b"#!"


def _load(places: Places) -> Catalogue:
    return catalogue_file.load(places.catalogue) if places.catalogue.exists() else Catalogue()


def _store(places: Places, entries: list[Entry]) -> None:
    """Our entries in the place of those of an earlier enrolment; all others stay."""
    known = _load(places)
    for entry in [one for one in known if one.evidence == _EVIDENCE]:
        known.discard(entry.digest)
    if conflicts := known.merge(entries):
        raise EnforcerError(f"another program has these bytes: {conflicts[0]}")
    places.catalogue.parent.mkdir(parents=True, exist_ok=True)
    catalogue_file.save(known, places.catalogue)


def _install_unit(places: Places, prefix: Path, unit: str) -> Path:
    shipped = resources.files("enforcer").joinpath("systemd", unit).read_text()
    target = places.root / "etc/systemd/system" / unit
    if prefix == Path(_SHIPPED_PREFIX) and (places.root / "usr/lib/systemd/system" / unit).exists():
        return places.root / "usr/lib/systemd/system" / unit
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, shipped.replace(_SHIPPED_PREFIX, f"{prefix}/").encode())
    return target


def _make_group(done: Enrolled) -> None:
    try:
        grp.getgrnam(GROUP)
        return
    except KeyError:
        pass
    made = subprocess.run(["groupadd", "--system", GROUP], check=False, capture_output=True, text=True)
    done.notes.append(
        f"group {GROUP} was made: its members may read (menshen status, events, why)"
        if made.returncode == 0
        else f"group {GROUP} could not be made: {made.stderr.strip()}"
    )
