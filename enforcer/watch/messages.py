"""Events and alerts of the watch as messages of watch.proto."""

from __future__ import annotations

import ipaddress
import os
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from bpf_lsm.observation import Flag, Type
from detect.alert import Alert, Evidence
from enforcer import words
from enforcer.api import watch_pb2 as pb
from enforcer.watch.observations import Observed

_RAW: Final = ("exe", "args", "path", "path2", "comm", "parent_exe")
_PLAIN: Final = (
    "result", "session", "identity", "container", "port", "pid", "ppid", "sid", "uid", "login_uid", "detail",
    "target_pid", "cgroup", "mnt_ns",
)  # fmt: skip
_FLAGS: Final = tuple((int(flag), (flag.name or "").lower().replace("_", "-")) for flag in Flag)
_TYPES: Final = {int(each): each.word for each in Type}


def observation(seen: Observed, at: int) -> pb.Observation:
    """One event of a batch."""
    return message(seen.batch.row(at), seen.boot, number=seen.first + at, tags=seen.tags(at))


def message(
    row: Mapping[str, Any], boot: float, *, number: int = 0, tags: Iterable[str] = ()
) -> pb.Observation:
    """An event as `Batch.row` has it. `boot`: seconds since the epoch at which the host's clock began."""
    raw: dict[str, Any] = {name: os.fsencode(row.get(name, "")) for name in _RAW}
    plain: dict[str, Any] = {name: row[name] for name in _PLAIN if name in row}
    flags = row["flags"]
    return pb.Observation(
        id=number,
        time=boot + row["time"] / 1e9,
        type=type_word(row["type"]),
        address=address(row["family"], row["address"]),
        protocol=words.protocol(row["protocol"]) if row["family"] else "",
        digest=f"{row['digest']:016x}" if row["digest"] else "",
        flags=[word for bit, word in _FLAGS if flags & bit],
        tags=tags,
        **raw,
        **plain,
    )


def alert(number: int, found: Alert, boot: float) -> pb.Alert:
    """An alert with its chain."""
    return pb.Alert(
        id=number,
        time=boot + found.time / 1e9,
        source=found.source,
        name=found.name,
        title=found.title,
        level=found.level.name.lower(),
        session=found.session,
        place=found.place,
        chain=[_step(evidence, boot) for evidence in found.chain],
        blocked=found.blocked,
        incomplete=found.incomplete,
        tags=found.tags,
    )


def _step(evidence: Evidence, boot: float) -> pb.AlertStep:
    return pb.AlertStep(step=evidence.step, observation=message(evidence.event, boot))


def as_line(found: pb.Alert) -> dict[str, Any]:
    """An alert for alerts.jsonl."""
    from google.protobuf.json_format import MessageToDict  # noqa: PLC0415

    line: dict[str, Any] = MessageToDict(found, preserving_proto_field_name=True)
    for step, original in zip(line.get("chain", ()), found.chain, strict=True):
        step["observation"] = observation_line(original.observation)
    return line


def observation_line(seen: pb.Observation) -> dict[str, Any]:
    """An event for a line of JSON: strings of the host as text, with surrogates for what is not UTF-8."""
    from google.protobuf.json_format import MessageToDict  # noqa: PLC0415

    line: dict[str, Any] = MessageToDict(seen, preserving_proto_field_name=True)
    return line | {name: os.fsdecode(getattr(seen, name)) for name in _RAW if getattr(seen, name)}


def type_word(number: int) -> str:
    """Kind of an event in words; one of a newer kernel side stays a number."""
    return _TYPES.get(number, f"type-{number}")


def address(family: int, raw: bytes) -> str:
    """An address as people write it; empty where there is none."""
    if family == 4:
        return str(ipaddress.IPv4Address(raw[:4]))
    if family == 6:
        return str(ipaddress.IPv6Address(raw))
    return ""


def boot_time() -> float:
    """Seconds since the epoch at which CLOCK_BOOTTIME was zero, as the clock is set now."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
