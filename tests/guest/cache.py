"""The cache: finished things under build/guest, each in a folder named by the hash of its inputs."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.guest.progress import note, step

REPOSITORY = Path(__file__).resolve().parents[2]
DONE = ".done"
KEEP_SECONDS = 3600  # what was used within it stays, however much there is
_said: set[Path] = set()


def root() -> Path:
    """Where everything that can be made again is kept."""
    path = Path(os.environ.get("MENSHEN_GUEST_CACHE") or REPOSITORY / "build" / "guest")
    path.mkdir(parents=True, exist_ok=True)
    return path.resolve()


def digest(*parts: object) -> str:
    """A short name for a list of inputs; a Path counts by its content."""
    state = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else str(part).encode()
        state.update(len(data).to_bytes(8, "little") + data)
    return state.hexdigest()[:16]


@contextmanager
def locked(name: str) -> Iterator[None]:
    """One maker at a time for the things called `name`, across processes."""
    folder = root() / "locks"
    folder.mkdir(exist_ok=True)
    with (folder / name).open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with step(f"waiting for another process that makes the {name}"):
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def made(
    kind: str,
    key: str,
    make: Callable[[Path], None],
    *,
    keep: int = 2,
    seconds: float = KEEP_SECONDS,
    say: bool = True,
) -> Path:
    """The folder `kind`/`key`: as it was made before, or made now by `make`, complete or not at all."""
    folder = root() / kind / key
    if (folder / DONE).exists():
        (folder / DONE).touch()
        if say and folder not in _said:
            _said.add(folder)
            note(f"{kind} {key}: cached")
        return folder
    with locked(kind.replace("/", "-")):
        if (folder / DONE).exists():
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        work = folder.with_name(f".{key}.{os.getpid()}")
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        try:
            make(work)
            (work / DONE).touch()
            work.rename(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        _forget_old(folder.parent, keep, seconds)
    return folder


def _forget_old(folder: Path, keep: int, seconds: float) -> None:
    """Drops what was not used lately, the newest `keep` excepted."""
    finished = sorted(folder.glob(f"*/{DONE}"), key=lambda done: done.stat().st_mtime, reverse=True)
    for done in finished[keep:]:
        if time.time() - done.stat().st_mtime > seconds:
            shutil.rmtree(done.parent, ignore_errors=True)
