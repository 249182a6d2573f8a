"""The note beside a running gate: which object it is. RUN_DIR/gate.json; the gate itself does not need it."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any, Final

from bpf_lsm.attach import Sizes
from bpf_lsm.btf import Btf
from bpf_lsm.errors import GateError
from bpf_lsm.pins import Parts

_NAME: Final = "gate.json"


def write(
    run_dir: Path, object_path: Path, *, version: str, sizes: Sizes, parts: Parts, missing: tuple[str, ...]
) -> None:
    """Note what was loaded."""
    note = {
        "object": hashlib.sha256(object_path.read_bytes()).hexdigest(),
        "path": str(object_path),
        "version": version,
        "loaded_at": int(time.time()),
        "kernel": os.uname().release,
        "capacity": sizes.capacity,
        "catalogue_size": sizes.catalogue,
        "programs": sorted(parts.links),
        "called": sorted(parts.programs),
        "missing": sorted(missing),
        "layouts": Btf(object_path).maps(),
    }
    run_dir.mkdir(parents=True, exist_ok=True)
    fresh = run_dir / f"{_NAME}.new"
    fresh.write_text(json.dumps(note, indent=1))
    fresh.replace(run_dir / _NAME)


def read(run_dir: Path) -> dict[str, Any]:
    """The note, or an empty one: a gate runs without it."""
    try:
        note: dict[str, Any] = json.loads((run_dir / _NAME).read_text())
    except (OSError, ValueError):
        return {}
    return note


def remove(run_dir: Path) -> None:
    """The gate is down."""
    (run_dir / _NAME).unlink(missing_ok=True)


def check_layouts(run_dir: Path, object_path: Path) -> None:
    """GateError if a map means something else to this object than to the one that is loaded."""
    loaded = read(run_dir).get("layouts")
    if not loaded:
        raise GateError(
            f"{run_dir / _NAME} does not say what is loaded, so it cannot be upgraded in place",
            hint="take the running gate down first (menshen off), then load the new one",
        )
    fresh = Btf(object_path).maps()
    changed = sorted(name for name in loaded.keys() & fresh.keys() if loaded[name] != fresh[name])
    if changed:
        raise GateError(
            f"the new object has another layout of {', '.join(changed)} than the running gate",
            hint="take the running gate down first (menshen off), then load the new one",
        )
