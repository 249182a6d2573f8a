"""From a journal to a segment."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from detect.store import segment
from detect.store.entry import Entry, boot_text, segment_name
from detect.store.journal import Content
from detect.store.part import of_content, sort


def seal(folder: Path, number: int, content: Content, age_mark: int) -> Entry:
    """The segment of one journal. An OSError leaves nothing behind."""
    part = sort(of_content(content))
    name = segment_name(number, number)
    time = part.events["time"]
    writer = segment.Writer(folder / name)
    try:
        writer.write("events", part.events)
        writer.write("contexts", part.contexts, part.values)
        writer.write("acts", part.acts, part.values)
        writer.write("sessions", segment.session_rows(part.contexts, part.sessions()))
        entry = Entry(
            name=name,
            boot=boot_text(content.boot),
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
