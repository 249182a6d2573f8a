"""The process `menshen-agent`: from the first line to its exit status."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from bpf_lsm.errors import GateError, LoadError
from enforcer import settings as settings_file
from enforcer.agent.keeper import Keeper
from enforcer.boot import beginning, loading
from enforcer.errors import EnforcerError
from enforcer.places import Places
from enforcer.serving.notify import notify, store, stored, watchdog_interval
from enforcer.serving.process import log_to_journal, reading_group
from enforcer.settings import Settings

if TYPE_CHECKING:
    from enforcer.agent.gateway import GateLike
    from enforcer.agent.language import Language
    from enforcer.agent.life import Agent

OFF = 90
"""Exit status after `menshen off`: the unit does not start us again."""
CANNOT = 91
"""Exit status where this kernel cannot hold the gate: trying again would not help."""

KEPT = "menshen-pins"
"""What process 1 calls the mount that it keeps for us."""

log = logging.getLogger("menshen")


def main() -> None:
    """The entry of the script menshen-agent; it takes no arguments."""
    if len(sys.argv) > 1:
        sys.exit("menshen-agent takes no arguments: its settings are in /etc/menshen/agent.yaml")
    sys.exit(run(Path("/")))


def run(root: Path, **given: str) -> int:
    """Run the agent of a host until it is asked to end. `given` go before the settings of the same names."""
    log_to_journal()
    places = Places(root)
    if loading.switched_off():
        return OFF
    if os.geteuid() != 0:
        log.critical("the agent must be started as root")
        return 1
    if not sys.flags.isolated:
        log.warning("not started in isolated mode, so the guard cannot know us: run `menshen enrol-self`")
    from bpf_lsm.memory import return_blocks  # noqa: PLC0415

    return_blocks()
    try:
        agent = _start(places, given)
    except (EnforcerError, GateError, OSError) as error:
        log.critical("the agent cannot start: %s", error)
        notify(f"STATUS={str(error).splitlines()[0]}")
        return CANNOT if isinstance(error, LoadError) else 1
    _serve(agent)
    return OFF if agent.is_off else 0


def _start(places: Places, given: Mapping[str, str]) -> Agent:
    from bpf_lsm import gate as gate_module  # noqa: PLC0415
    from enforcer import certificates  # noqa: PLC0415
    from enforcer.agent.credentials import Credentials  # noqa: PLC0415
    from enforcer.agent.life import Agent, say  # noqa: PLC0415
    from enforcer.agent.remote_compiler import RemoteCompiler  # noqa: PLC0415 - loads numpy
    from enforcer.agent.tasks import Executables  # noqa: PLC0415
    from enforcer.enrolment import launcher_fault  # noqa: PLC0415

    settings = settings_file.override(loading.settings_of(places), given)
    credentials, executables = Credentials(places, settings.scan), Executables()
    # All that takes time comes before the hooks are attached, so that few programs start between that and
    # the moment when the kernel knows who they are.
    loaded = gate_module.is_loaded()
    begun = beginning.noted(places.beginning) if loaded else None
    unsearched = begun is not None and not begun.searched  # menshen-early knows no signed programs
    say(credentials.load(search=not loaded or unsearched))
    if not loaded:
        executables.look(credentials.lookup)
    gate, adopted = _gate(settings, len(credentials.catalogue))
    if not adopted or unsearched:
        credentials.push(gate)
    if unsearched:
        beginning.searched(places.beginning)

    fault = launcher_fault(places, Path(sys.argv[0]).resolve())

    def language() -> Language:
        from enforcer.agent.language import Language  # noqa: PLC0415 - in the compiler's process only

        return Language(
            gate.capacity,
            guarded=settings.guard and not fault,
            prefix=Path(sys.prefix),
            certified=lambda: certificates.read(places.certificates, places.trust),
        )

    compiler = RemoteCompiler(language)
    compiler.start()
    agent = Agent(
        gate,
        compiler,
        places,
        settings,
        credentials=credentials,
        executables=executables,
        group=reading_group(),
        self_fault=lambda: fault,
        armed=compiler.start,
    )
    try:
        agent.start(adopted=adopted)
    except BaseException:
        agent.stop()
        raise
    _keep_pins_mounted(agent)
    notify(f"READY=1\nSTATUS=generation {agent.policy.generation} is in force")
    return agent


def _gate(settings: Settings, known: int) -> tuple[GateLike, bool]:
    """The gate, and whether it was running already."""
    from bpf_lsm import gate, host  # noqa: PLC0415
    from bpf_lsm.kept import put_back  # noqa: PLC0415

    kept = stored(KEPT)
    if kept is not None and not gate.is_loaded():
        log.critical("the pins were unmounted, which takes tampering: they are mounted again")
        put_back(kept, gate.PIN_DIR.parent)
        kept = None
    if gate.is_loaded():
        adopted = gate.Gate.adopt()
        _keep_pins(kept)
        return adopted, True
    host.require()
    loaded = loading.load(settings, known)
    _keep_pins(kept)
    return loaded, False


def _keep_pins(kept: int | None) -> None:
    """Have process 1 hold the pins, so that they survive being unmounted while we are not there."""
    from bpf_lsm.gate import PIN_DIR  # noqa: PLC0415
    from bpf_lsm.kept import keep  # noqa: PLC0415

    if kept is None:
        kept = keep(PIN_DIR.parent)
        store(KEPT, kept)
    os.close(kept)


def _keep_pins_mounted(agent: Agent) -> None:
    from bpf_lsm.gate import PIN_DIR  # noqa: PLC0415 - loads numpy: return_blocks() goes before

    try:
        Keeper(PIN_DIR.parent, agent.journal.notice).start()
    except (GateError, OSError) as error:
        log.error("if the pins are unmounted, nobody mounts them again before the next start: %s", error)


def _serve(agent: Agent) -> None:
    """Until somebody wants us to end: feed the watchdog, expire credentials, search anew."""

    def end(_signal: int, _frame: FrameType | None) -> None:
        agent.ended.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    interval = watchdog_interval() or 30.0
    while not agent.ended.wait(min(interval, agent.due() + 0.1)):
        if agent.well():
            notify("WATCHDOG=1")
        try:
            agent.tick()
        except Exception:  # whatever it was: enforcement and the API go on
            log.exception("looking at the host failed")
    if agent.is_off:
        agent.ended.wait()
        time.sleep(1)  # the caller of `off` gets its answer
    notify("STOPPING=1")
    agent.stop()
