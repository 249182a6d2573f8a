"""From journals to segments, and from several segments to one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detect.store import segment
from detect.store.entry import Entry, boot_text, segment_name
from detect.store.journal import Content
from detect.store.part import Part, merged, of_content, sort


def seal(folder: Path, number: int, content: Content, age_mark: int) -> Entry:
    """The segment of one journal. An OSError leaves nothing behind."""
    part = sort(of_content(content))
    name, boot = segment_name(number, number), boot_text(content.boot)
    return _write(folder, name, boot, part, age_mark=age_mark, level=1)


def merge(folder: Path, entries: Sequence[Entry]) -> Entry:
    """One segment of neighbours of one boot. OSError; other errors mean that one of them is damaged."""
    part = sort(merged([segment.Segment(folder / entry.name).part() for entry in entries]))
    name = segment_name(entries[0].journals[0], entries[-1].journals[1])
    return _write(folder, name, entries[0].boot, part, age_mark=max(one.age_mark for one in entries), level=3)


def _write(folder: Path, name: str, boot: str, part: Part, *, age_mark: int, level: int) -> Entry:
    time = part.events["time"]
    writer = segment.Writer(folder / name, level)
    try:
        writer.write("events", part.events)
        writer.write("contexts", part.contexts, part.values)
        writer.write("acts", part.acts, part.values)
        writer.write("sessions", segment.session_rows(part))
        entry = Entry(
            name=name,
            boot=boot,
            events=len(part),
            size=writer.finish(),
            first=int(time.min()),
            last=int(time.max()),
            clock=int(part.events["clock"][np.argmax(time)]),
            age_mark=age_mark,
        )
        writer.publish(entry)
    except BaseException:
        writer.abandon()
        raise
    return entry
