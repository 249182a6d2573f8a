"""The pins in the bpffs: a gate is a folder there that appears, changes and goes in one step.

    PIN_DIR/maps/NAME  PIN_DIR/links/NAME  PIN_DIR/programs/NAME

A gate is pinned under another name and then renamed, so a folder of the right name is always whole.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bpf_lsm import libbpf
from bpf_lsm.errors import GateError, KernelError
from bpf_lsm.kernel_map import info

_BPFFS_MAGIC: Final = 0xCAFE4A11
_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2
_KINDS: Final = ("maps", "links", "programs")

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Parts:
    """The descriptors that hold a gate, by name."""

    maps: dict[str, int] = field(default_factory=dict)
    links: dict[str, int] = field(default_factory=dict)
    programs: dict[str, int] = field(default_factory=dict)
    """Those that are not attached but called: `syscall` programs and iterators."""

    def close(self) -> None:
        """Let go of all of them; of what sees a call begin after what sees it end."""
        for fd in sorted(self.links.values(), key=_sees_beginnings):
            os.close(fd)
        self.links.clear()
        for table in (self.programs, self.maps):
            while table:
                os.close(table.popitem()[1])


def _sees_beginnings(link: int) -> bool:
    # struct bpf_link_info: type, id, prog_id, a hole, tracing.attach_type
    return info(link, 20)[4] == libbpf.ATTACH_TRACE_FENTRY


def on_bpffs(path: Path) -> bool:
    """Whether a path, or the nearest parent that exists, is on a bpffs."""
    while not path.exists():
        path = path.parent
    buffer = ctypes.create_string_buffer(256)
    if _libc.statfs(os.fsencode(path), buffer) != 0:
        return False
    return ctypes.c_long.from_buffer(buffer).value & 0xFFFFFFFF == _BPFFS_MAGIC


def is_pinned(pin_dir: Path) -> bool:
    """Whether a gate is pinned there."""
    return (pin_dir / "links").is_dir()


def publish(parts: Parts, pin_dir: Path) -> None:
    """Pin a gate, in the place of the one that is pinned there now, if any."""
    stage = _beside(pin_dir, "loading")
    remove(stage)
    try:
        stage.mkdir(parents=True, mode=0o700)
        for kind in _KINDS:
            (stage / kind).mkdir(mode=0o700)
            table: Mapping[str, int] = getattr(parts, kind)
            for name, fd in table.items():
                path = stage / kind / name.replace(".", "_")
                libbpf.call(f"cannot pin {path}", "bpf_obj_pin", fd, os.fsencode(path))
        if pin_dir.exists():
            _exchange(stage, pin_dir)
            remove(stage)
        else:
            stage.rename(pin_dir)
    except OSError as error:
        raise GateError(f"cannot pin the gate at {pin_dir}: {error}") from error
    finally:
        remove(stage)


def unpublish(pin_dir: Path) -> None:
    """Take the pins away. What is attached stays so while a descriptor is held."""
    going = _beside(pin_dir, "going")
    try:
        remove(going)
        if pin_dir.exists():
            pin_dir.rename(going)
            remove(going)
    except OSError as error:
        raise GateError(f"cannot unpin the gate at {pin_dir}: {error}") from error


def take(pin_dir: Path) -> Parts:
    """Descriptors of everything that is pinned there."""
    if not is_pinned(pin_dir):
        raise GateError(f"no gate is loaded at {pin_dir}", hint="systemctl start menshen")
    parts = Parts()
    try:
        for kind in _KINDS:
            for path in sorted((pin_dir / kind).iterdir()):
                fd = libbpf.call(f"cannot open {path}", "bpf_obj_get", os.fsencode(path))
                getattr(parts, kind)[path.name] = fd
    except BaseException:
        parts.close()
        raise
    return parts


def take_map(pin_dir: Path, name: str) -> int:
    """A descriptor of one map of the gate that is pinned there, for reading."""
    return libbpf.open_reading(os.fsencode(pin_dir / "maps" / name))


def remove(folder: Path) -> None:
    """Remove a folder of pins, and what an interrupted load or off left of one."""
    if not folder.exists():
        return
    for kind in folder.iterdir():
        for pin in kind.iterdir():
            pin.unlink()
        kind.rmdir()
    folder.rmdir()


def _beside(pin_dir: Path, word: str) -> Path:
    return pin_dir.with_name(f"{pin_dir.name}_{word}")


def _exchange(one: Path, other: Path) -> None:
    done = _libc.renameat2(
        _AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), ctypes.c_uint(_RENAME_EXCHANGE)
    )
    if done != 0:
        raise KernelError(f"cannot exchange {one} and {other}", ctypes.get_errno())
