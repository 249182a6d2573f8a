"""Settings of a service: a YAML file of plain values over defaults. An absent file means the defaults.

`Settings` is the agent's (/etc/menshen/agent.yaml); enforcer/watch/settings.py is the watch's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol, TypeVar

from enforcer.errors import EnforcerError, Problem
from enforcer.serving.exporter import UNIX, address_fault, file_fault

MAX_BYTES = 1 << 20
Bounds = dict[str, tuple[float, float]]
"""Of each number: the least and the greatest that may be written."""
Texts = dict[str, Callable[[str], str | None]]
"""Of each text: what is wrong with it."""
TEXTS: Final[Texts] = {"metrics": address_fault, "metrics_file": file_fault}
"""Of both services."""


class Kind(Protocol):
    """A frozen data class of settings, each with a default."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    BOUNDS: ClassVar[Bounds]
    TEXTS: ClassVar[Texts]


S = TypeVar("S", bound=Kind)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the agent can be told. `docs/operate.md` lists the same."""

    scan: tuple[str, ...] = ("/usr/local/bin", "/usr/local/sbin", "/opt", "/srv")
    """Folders that are searched for signed programs (statements in the ELF or beside the file)."""
    rescan: int = 3600
    """Seconds between two searches; `menshen reload` searches at once."""
    poll: float = 0.2
    """Seconds after which the rings are read even if the kernel did not wake us."""
    events: bool = True
    """Read the ring of program starts too. Denials are always read."""
    keep_events: int = 10_000
    """Events that are kept in memory for `menshen events` and `menshen why`."""
    log_bytes: int = 16 << 20
    """Size of denials.jsonl at which it is turned over."""
    log_files: int = 4
    """Turned-over files that are kept."""
    image_capacity: int = 8 << 20
    """Bytes for one compiled policy, set when the gate is loaded; two of them are reserved."""
    catalogue_size: int = 131_072
    """Digests that the kernel can hold."""
    guard: bool = True
    """Keep everyone but the agent from touching the kernel programs, their maps and the agent itself."""
    metrics: str = UNIX
    """Where Prometheus' metrics can be had: `unix`, `none`, or an address and a port."""
    metrics_file: str = ""
    """A file that they are written to as well, for node_exporter's text-file collector."""

    TEXTS: ClassVar[Texts] = TEXTS
    BOUNDS: ClassVar[Bounds] = {
        "rescan": (10, 7 * 86400),
        "poll": (0.01, 10),
        "keep_events": (100, 1_000_000),
        "log_bytes": (64 << 10, 1 << 34),
        "log_files": (1, 100),
        "image_capacity": (1 << 16, 1 << 28),
        "catalogue_size": (1024, 1 << 22),
    }


def load(path: Path, kind: type[S]) -> S:
    """Read the settings; an unknown or impossible one is an EnforcerError that says what may be written."""
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return kind()
    except OSError as error:
        raise EnforcerError(f"cannot read {path}: {error.strerror}") from None
    return parse(content, str(path), kind)


def parse(content: bytes, file: str, kind: type[S]) -> S:
    """The settings in `content`."""
    import yaml  # noqa: PLC0415 - `menshen --help` does not need it

    if len(content) > MAX_BYTES:
        raise EnforcerError(f"{file} is larger than {MAX_BYTES} bytes")
    try:
        root = yaml.compose(content, Loader=yaml.SafeLoader)
        given = {} if root is None else yaml.safe_load(content)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise EnforcerError(f"{file} is not YAML: {error}") from None
    if not isinstance(given, dict) or (root is not None and not isinstance(root, yaml.MappingNode)):
        raise EnforcerError(f"{file} must be a mapping of settings", f"they are: {', '.join(_names(kind))}")
    places = {} if root is None else {key.value: key.start_mark for key, _ in root.value}
    problems = []
    for name, value in given.items():
        if (wrong := _wrong(kind, name, value)) is not None:
            mark = places.get(name)
            line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
            text = f"{file}:{line}:{column}: {wrong}"
            problems.append(Problem(wrong, file, line, column, text))
    if problems:
        raise EnforcerError(f"the settings in {file} cannot be used", problems=tuple(problems))
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})


def override(settings: S, given: Mapping[str, str]) -> S:
    """The settings with texts of the command line in the place of their own. EnforcerError: one is wrong."""
    for name, value in given.items():
        if (wrong := _wrong(type(settings), name, value)) is not None:
            raise EnforcerError(wrong)
    return replace(settings, **given)


def _names(kind: type[Kind]) -> list[str]:
    return list(kind.__dataclass_fields__)


def _wrong(kind: type[Kind], name: Any, value: Any) -> str | None:
    default = getattr(kind(), name, None) if isinstance(name, str) and name in _names(kind) else None
    if default is None:
        return f"there is no setting {str(name)[:80]!r}; there are {', '.join(_names(kind))}"
    if isinstance(default, bool):
        return None if isinstance(value, bool) else f"{name} is true or false"
    if isinstance(default, str):
        return kind.TEXTS[name](value) if isinstance(value, str) else f"{name} is a text"
    if isinstance(default, tuple):
        folders = all(item.startswith("/") for item in default)
        good = isinstance(value, list) and all(
            isinstance(item, str) and (item[:1] == "/" if folders else item) for item in value
        )
        return None if good else f"{name} is a list of {'absolute folders' if folders else 'words'}"
    low, high = kind.BOUNDS[name]
    kinds = (int, float) if isinstance(default, float) else int
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        return f"{name} is a number from {low:g} to {high:g}"
    return None
