"""`menshen session`: one session, its processes and what happened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from enforcer.escape import escape_bytes
from enforcer.history import line
from enforcer.history.store import open_history, session_number, store_option, tell_skipped

if TYPE_CHECKING:
    from rich.tree import Tree

    from detect.store.story import Process, Story


@click.command()
@click.argument("session")
@click.option(
    "--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a page that needs nothing else."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON line an event.")
@click.option(
    "-n", "--last", type=click.IntRange(1, 1_000_000), default=2000, show_default=True, help="So many events."
)
@store_option
def session(session: str, *, html: Path | None, as_json: bool, last: int, store: Path | None) -> None:
    """Show a session (hexadecimal, as events show it): its process tree and its timeline."""
    from detect.store.story import tell  # noqa: PLC0415 - numpy and pyarrow

    number = session_number(session)
    history = open_history(store)
    found = [tell(number, boot, part, events=last) for boot, part in history.session(number)]
    tell_skipped(history)
    if not found:
        raise click.ClickException(
            f"there is no event of session {number:x}\n  `menshen sessions` lists the newest"
        )
    if html is not None:
        from enforcer.history.page import page  # noqa: PLC0415

        html.write_text(page(found), encoding="utf-8")
        click.echo(f"{html}: {sum(story.count for story in found)} events")
    elif as_json:
        for story in found:
            for moment in story.moments:
                click.echo(json.dumps({"boot": story.boot, **line.as_json(moment)}, ensure_ascii=True))
    else:
        for story in found:
            _show(story)


def _show(story: Story) -> None:
    from rich.console import Console  # noqa: PLC0415 - only for the terminal
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False)

    def say(text: str, style: str = "") -> None:
        console.print(Text(text, style), soft_wrap=True)

    login = "nobody logged in" if story.login_uid is None else f"login uid {story.login_uid}"
    say(f"session {story.session:x}  {line.clock(story.first)} to {line.clock(story.last)}  {login}", "bold")
    kinds = ", ".join(f"{count} {line.kind(kind)}" for kind, count in sorted(story.types.items()))
    say(f"{story.count} events: {kinds}")
    say(f"boot {story.boot}\n")
    for process in story.processes.values():
        if not process.parent:
            console.print(_tree(story, process), soft_wrap=True)
    if len(story.processes) < story.process_count:
        say(f"... and {story.process_count - len(story.processes)} more processes")
    console.print()
    if len(story.moments) < story.count:
        say(f"... {story.count - len(story.moments)} earlier events; -n shows more")
    for event in story.moments:
        style = "red" if event["result"] < 0 else "yellow" if event["tags"] else ""
        head = f"{line.clock(event['time'])}  {event['pid']:>7} {escape_bytes(event['comm']):15}"
        say(f"{head}  {line.kind(event['type']):12} {line.what(event)}", style)


def _tree(story: Story, top: Process) -> Tree:
    """Built without recursion: a chain of processes may be longer than Python's stack."""
    from rich.text import Text  # noqa: PLC0415
    from rich.tree import Tree  # noqa: PLC0415

    root = Tree(Text(_label(top)))
    ahead = [(top, root)]
    while ahead:
        process, branch = ahead.pop()
        for number in process.children:
            child = story.processes[number]
            ahead.append((child, branch.add(Text(_label(child)))))
    return root


def _label(process: Process) -> str:
    who = f"{escape_bytes(process.identity)}  " if process.identity else ""
    shown = line.arguments(process.args) or escape_bytes(process.exe) or "(not known)"
    return f"{process.pid} {who}{shown}  ({process.events} events, uid {process.uid})"
