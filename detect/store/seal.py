"""From a journal to a segment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detect.store import segment
from detect.store.entry import Entry, boot_text, segment_name
from detect.store.journal import Content, read
from detect.store.part import of_content, sort


@dataclass(frozen=True, slots=True)
class Sealed:
    """What became of a journal's file."""

    entry: Entry | None = None
    """None: there was nothing in it."""
    fault: str = ""
    """Why it cannot be read."""
    size: int = 0
    """Bytes that are whole."""
    torn: int = 0
    """Bytes after them."""


def seal_file(folder: Path, number: int, path: Path, age_mark: int) -> Sealed:
    """The segment of a journal that is read from its file. FileNotFoundError; OSError of the segment."""
    try:
        content = read(path)
    except FileNotFoundError:
        raise
    except (ValueError, OSError) as error:
        return Sealed(fault=str(error))
    entry = seal(folder, number, content, age_mark) if content.count() else None
    return Sealed(entry, "", content.size, content.torn)


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
