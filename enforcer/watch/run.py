"""The process `menshen-watch`: from the first line to its exit status."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

from enforcer import settings as settings_file
from enforcer.errors import EnforcerError
from enforcer.names import Names
from enforcer.places import Places
from enforcer.serving.notify import notify, watchdog_interval
from enforcer.serving.process import log_to_journal, only_one, reading_group
from enforcer.watch.settings import WatchSettings

if TYPE_CHECKING:
    from enforcer.watch.life import Store, Watch
    from enforcer.watch.sealing import Sealing

CANNOT: Final = 91
"""Exit status where this kernel takes none of our programs: trying again would not help."""

log = logging.getLogger("menshen.watch")


def main() -> None:
    """The entry of the script menshen-watch; it takes no arguments."""
    if len(sys.argv) > 1:
        sys.exit("menshen-watch takes no arguments: its settings are in /etc/menshen/watch.yaml")
    sys.exit(run(Path("/")))


def run(root: Path, **given: str) -> int:
    """Run the watch of a host until it is asked to end. `given` go before the settings of the same names."""
    log_to_journal()
    if os.geteuid() != 0:
        log.critical("the watch must be started as root")
        return 1
    from bpf_lsm.memory import return_blocks  # noqa: PLC0415 - for a watch that starts, not for --help

    return_blocks()
    from bpf_lsm.errors import GateError, LoadError  # noqa: PLC0415 - loads numpy

    places = Places(root)
    try:
        only_one(places.run / "watch.lock")
        watch = _start(places, given)
    except (EnforcerError, GateError, OSError) as error:
        log.critical("the watch cannot start: %s", error)
        notify(f"STATUS={str(error).splitlines()[0]}")
        return CANNOT if isinstance(error, LoadError) else 1
    _serve(watch)
    return 0


def _start(places: Places, given: Mapping[str, str]) -> Watch:
    from detect.decode import Decoder  # noqa: PLC0415
    from detect.enrich import Enricher  # noqa: PLC0415
    from detect.host import Host  # noqa: PLC0415
    from detect.pipeline import Pipeline  # noqa: PLC0415
    from detect.rules.engine import RuleEngine  # noqa: PLC0415
    from detect.sequences import SequenceEngine  # noqa: PLC0415
    from enforcer.watch import detections  # noqa: PLC0415
    from enforcer.watch.life import Watch  # noqa: PLC0415
    from enforcer.watch.sealing import Sealing  # noqa: PLC0415
    from enforcer.watch.source import KernelSource  # noqa: PLC0415

    settings = settings_file.override(_settings(places), given)
    found = detections.load(settings)
    sealing = Sealing()
    sealing.start()
    rules, host, names = RuleEngine(found.rules, scanners=found.scanners), Host(), Names()
    enricher = Enricher(container=host.container, identity=names.encoded, ask=host.process)
    sequences = SequenceEngine(found.sequences, rules.tags)
    pipeline = Pipeline(Decoder(), enricher, rules, sequences)
    watch = Watch(
        KernelSource(settings, found.reads),
        pipeline,
        _store(places, settings, rules.tags, sealing),
        places,
        settings,
        names=names,
        detections=found.shown(),
        problems=found.problems,
        group=reading_group(),
    )
    watch.start()
    notify(f"READY=1\nSTATUS={watch.source.mode}, {len(found.rules)} rules, {len(found.sequences)} sequences")
    for missing in watch.source.missing:
        log.warning("not seen: %s", missing)
    return watch


def _settings(places: Places) -> WatchSettings:
    try:
        return settings_file.load(places.watch_settings, WatchSettings)
    except EnforcerError as error:
        log.error("%s; the defaults are used", error)  # a typing error must not blind the host
        return WatchSettings()


def _serve(watch: Watch) -> None:
    """Until somebody wants us to end: feed the watchdog."""

    def end(_signal: int, _frame: FrameType | None) -> None:
        watch.ended.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    interval = watchdog_interval() or 30.0
    while not watch.ended.wait(interval):
        if watch.well():
            notify("WATCHDOG=1")
    notify("STOPPING=1")
    watch.stop()


def _store(places: Places, settings: WatchSettings, tags: Sequence[str], sealing: Sealing) -> Store | None:
    if not settings.store:
        return None
    from detect.store.settings import StoreSettings  # noqa: PLC0415
    from detect.store.store import Store as EventStore  # noqa: PLC0415

    limits = StoreSettings(places.observed, max_bytes=settings.store_bytes, max_days=settings.store_days)
    return EventStore(limits, tags=tags, notify=lambda text: log.warning("store: %s", text), apart=sealing)
