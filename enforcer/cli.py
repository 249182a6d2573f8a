"""The command `menshen`. Commands are loaded when they are called, so that `menshen --help` is quick."""

from __future__ import annotations

import importlib
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import click

from enforcer import __version__

COMMANDS = {
    "agent": ("enforcer.commands.agent:agent", "Run the agent: load the gate, apply policies, serve."),
    "alerts": ("enforcer.commands.alerts:alerts", "Show what the watch found, with its evidence."),
    "certify": (
        "enforcer.commands.certify:certify",
        "Prove by history that a sequence may block; revoke it.",
    ),
    "doctor": ("enforcer.commands.doctor:doctor", "Check by doing what this host can do."),
    "enrol-self": ("enforcer.commands.enrol_self:enrol_self", "Give Menshen's own programs their identity."),
    "events": ("enforcer.commands.events:events", "Show denials and other events."),
    "held": ("enforcer.commands.held:held", "What is open and not allowed any more; close it."),
    "hunt": ("enforcer.commands.hunt:hunt", "Ask the watch's history by SQL."),
    "identity": ("identity.cli:identity", "Keys, signatures, packages: who may be who."),
    "observations": ("enforcer.commands.observations:observations", "Show what the watch sees."),
    "off": ("enforcer.commands.off:off", "End enforcement: authorised, logged, verified."),
    "policy": ("enforcer.commands.policy:policy", "Validate, apply, list and show policies."),
    "reload": ("enforcer.commands.reload:reload", "Look for new policies and signed programs now."),
    "rules": ("enforcer.commands.rules:rules", "Validate, list and try rules in Sigma."),
    "session": ("enforcer.commands.session:session", "Show a session: its process tree and its timeline."),
    "sessions": ("enforcer.commands.sessions:sessions", "List sessions, the newest first."),
    "status": ("enforcer.commands.status:status", "How things stand."),
    "watch": ("enforcer.commands.watch:watch", "Run the watch: collect, judge, keep, tell."),
    "why": ("enforcer.commands.why:why", "Explain an event, and what would allow it."),
}


FURTHER = {"tui": "Watch denials, events and alerts live, in the terminal."}
"""Commands of packages that build on this one; they are found by their entry point."""


class LazyGroup(click.Group):
    """A group that imports a command when it is run; the list of commands needs no import."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names."""
        return sorted({*COMMANDS, *FURTHER})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command."""
        if cmd_name in FURTHER:
            return _further(cmd_name)
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of --help, from the table."""
        with formatter.section("Commands"):
            texts = FURTHER | {name: text for name, (_, text) in COMMANDS.items()}
            formatter.write_dl([(name, texts[name]) for name in self.list_commands(ctx)])


def _further(name: str) -> click.Command:
    found: list[EntryPoint] = [*entry_points(group="menshen.commands", name=name)]
    if not found:
        raise click.ClickException(f"`menshen {name}` is not installed\n  install the whole of menshen again")
    command = found[0].load()
    assert isinstance(command, click.Command)
    return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="menshen")
@click.option(
    "--socket",
    type=click.Path(path_type=Path),
    envvar="MENSHEN_SOCKET",
    help="The agent's socket. Default: /run/menshen/api.sock",
)
@click.pass_context
def main(context: click.Context, socket: Path | None) -> None:
    """Menshen: mandatory access control by business identity."""
    context.obj = socket
