"""A session as a page of its own: no script, nothing from elsewhere, and nothing of the host's unescaped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape as html_escape
from typing import TYPE_CHECKING, Any, Final

from bpf_lsm.observation import Type
from enforcer.escape import escape_bytes
from enforcer.history import line

if TYPE_CHECKING:
    from detect.store.story import Process, Story

_ROW: Final = 22
_INDENT: Final = 14
_LEFT: Final = 430
_WIDTH: Final = 640
_DOTS: Final = 5000
"""Events that are drawn; all that are listed are in the table below."""
_DEEPEST: Final = 12
"""Steps of indentation; what is deeper stands under the last of them."""

_COLOURS: Final = {
    "process": ("#4c78a8", {Type.EXEC, Type.FORK, Type.EXIT, Type.CREDENTIALS, Type.LOGIN}),
    "file": (
        "#54a24b",
        {
            Type.FILE_CREATE,
            Type.FILE_OPEN,
            Type.FILE_WRITE,
            Type.FILE_DELETE,
            Type.FILE_RENAME,
            Type.FILE_LINK,
            Type.FILE_CHMOD,
            Type.MEMFD,
        },
    ),
    "network": (
        "#f58518",
        {Type.CONNECT, Type.ACCEPT, Type.BIND, Type.LISTEN, Type.SENDTO, Type.RAW_SOCKET},
    ),
    "special": ("#b279a2", {Type.PTRACE, Type.MODULE, Type.BPF, Type.KILL, Type.MOUNT}),
    "denied": ("#e45756", {Type.DENIAL, Type.WOULD_DENY}),
}
_OTHER: Final = "#9d9d9d"

_ALLOWED: Final = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE: Final = """
:root { color-scheme: light dark }
body { font: 14px/1.45 system-ui, sans-serif; margin: 2em; max-width: 90em }
h1 { font-size: 1.4em } h2 { font-size: 1.1em; margin-top: 2em }
dl { display: grid; grid-template-columns: max-content auto; gap: .2em 1.5em }
dt { font-weight: 600 } dd { margin: 0 }
table { border-collapse: collapse; font: 12px/1.5 ui-monospace, monospace }
td, th { text-align: left; padding: 1px 10px 1px 0; vertical-align: top; border-bottom: 1px solid #8883 }
td.what { overflow-wrap: anywhere } td.n { white-space: nowrap }
tr.failed td.what { color: #c33 } tr.tagged { background: #f5851822 }
svg text { font: 12px ui-monospace, monospace; fill: currentColor }
.key span { margin-right: 1.2em }
.key i { display: inline-block; width: .8em; height: .8em; border-radius: 50% }
"""


def page(stories: Sequence[Story]) -> str:
    """The whole page; one part for each boot in which the session's number was in use."""
    number = f"{stories[0].session:x}"
    return "".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_ALLOWED}">',
            f"<title>session {number}</title><style>{_STYLE}</style></head><body>",
            f"<h1>Session {number}</h1>",
            *(part for story in stories for part in _story(story)),
            "</body></html>\n",
        )
    )


def _story(story: Story) -> Iterator[str]:
    login = "nobody" if story.login_uid is None else f"uid {story.login_uid}"
    facts = {
        "from": line.clock(story.first),
        "to": line.clock(story.last),
        "logged in": login,
        "boot": story.boot,
        "processes": str(story.process_count),
        "events": str(story.count),
        "of which": ", ".join(f"{count} {line.kind(one)}" for one, count in sorted(story.types.items())),
    }
    yield "<dl>" + "".join(f"<dt>{_text(name)}</dt><dd>{_text(said)}</dd>" for name, said in facts.items())
    yield "</dl><h2>Processes</h2>"
    yield '<p class="key">'
    for name, (colour, _) in _COLOURS.items():
        yield f'<span><i style="background:{colour}"></i> {name}</span>'
    yield "</p>"
    yield from _graph(story)
    if len(story.processes) < story.process_count:
        yield f"<p>{story.process_count - len(story.processes)} later processes are not drawn.</p>"
    yield "<h2>Events</h2>"
    if len(story.moments) < story.count:
        yield f"<p>The last {len(story.moments)} of {story.count}.</p>"
    yield "<table><tr><th>time</th><th>pid</th><th>program</th><th>type</th><th>what</th></tr>"
    yield from map(_row, story.moments)
    yield "</table>"


def _row(event: Mapping[str, Any]) -> str:
    marks = [name for name, yes in (("failed", event["result"] < 0), ("tagged", event["tags"])) if yes]
    cells = (
        ("n", line.clock(event["time"])),
        ("n", str(event["pid"])),
        ("", escape_bytes(event["exe"] or event["comm"])),
        ("n", line.kind(event["type"])),
        ("what", line.what(event)),
    )
    inside = "".join(f'<td class="{name}">{_text(said)}</td>' for name, said in cells)
    return f'<tr class="{" ".join(marks)}">{inside}</tr>'


def _graph(story: Story) -> Iterator[str]:
    """A row a process, joined to its parent; a bar from its first to its last event, a dot for each."""
    rows = _rows(story)
    place = {process.number: (at, depth) for at, (process, depth) in enumerate(rows)}
    height = _ROW * len(rows) + _ROW
    yield f'<svg role="img" width="{_LEFT + _WIDTH + 20}" height="{height}" xmlns="http://www.w3.org/2000/svg">'
    for at, (process, depth) in enumerate(rows):
        x, y = _x(depth), _y(at)
        if process.parent:
            above, level = place[process.parent]
            path = f"M{_x(level) + 4} {_y(above) + 6}V{y}H{x - 2}"
            yield f'<path d="{path}" fill="none" stroke="#8888"/>'
        first, last = _time(story, process.first), _time(story, process.last)
        yield "<g><title>" + _text(_about(process)) + "</title>"
        yield f'<text x="{x}" y="{y + 4}">{_text(_short(process, depth))}</text>'
        width = max(1.0, round(last - first, 1))
        yield f'<rect x="{first}" y="{y - 2}" width="{width}" height="4" fill="#8885"/></g>'
    for event in story.moments[-_DOTS:]:
        found = place.get(event["process"])
        if found is not None:
            told = f"{line.clock(event['time'])} {line.kind(event['type'])} {line.what(event)}"
            dot = f'cx="{_time(story, event["time"])}" cy="{_y(found[0])}" r="3" fill="{_colour(event)}"'
            yield f"<circle {dot}><title>{_text(told)}</title></circle>"
    yield "</svg>"


def _rows(story: Story) -> list[tuple[Process, int]]:
    """The tree from the top, each process after its parent, with its depth."""
    found: list[tuple[Process, int]] = []
    ahead = [(process, 0) for process in story.processes.values() if not process.parent][::-1]
    while ahead:
        process, depth = ahead.pop()
        found.append((process, depth))
        ahead += [(story.processes[number], depth + 1) for number in reversed(process.children)]
    return found


def _x(depth: int) -> int:
    return 8 + _INDENT * min(depth, _DEEPEST)


def _y(row: int) -> int:
    return _ROW // 2 + _ROW * row


def _time(story: Story, nanoseconds: int) -> float:
    span = max(1, story.last - story.first)
    return round(_LEFT + _WIDTH * min(max(nanoseconds - story.first, 0), span) / span, 1)


def _colour(event: Mapping[str, Any]) -> str:
    return next((colour for colour, types in _COLOURS.values() if event["type"] in types), _OTHER)


def _short(process: Process, depth: int) -> str:
    room = (_LEFT - _x(depth)) // 8
    text = f"{process.pid} {line.arguments(process.args) or escape_bytes(process.exe) or '(not known)'}"
    return text if len(text) <= room else text[: room - 1] + "…"


def _about(process: Process) -> str:
    parts = (
        f"pid {process.pid}, uid {process.uid}, {process.events} events",
        escape_bytes(process.identity),
        escape_bytes(process.exe),
        line.arguments(process.args),
    )
    return "\n".join(part for part in parts if part)


def _text(said: str) -> str:
    return html_escape(said, quote=True)
