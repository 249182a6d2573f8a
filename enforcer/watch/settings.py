"""/etc/menshen/watch.yaml: every setting of the watch with its default. An absent file means the defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from enforcer.serving.exporter import UNIX
from enforcer.settings import TEXTS, Bounds, Texts


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """What the watch can be told. `docs/watch.md` lists the same."""

    poll: float = 0.1
    """Seconds after which the rings are read even if the kernel did not wake us."""
    keep_events: int = 20_000
    """Events that are kept in memory for those who begin to look."""
    keep_alerts: int = 2_000
    reads: tuple[str, ...] = ()
    """Further files whose reading is an event, beside those of detect/library/reads.txt: a path, a name
    anywhere, or with a slash at its end the files right in a folder."""
    rules: tuple[str, ...] = ("/etc/menshen/rules",)
    """Folders with Sigma rules of this host, beside those that are shipped."""
    sequences: tuple[str, ...] = ("/etc/menshen/sequences",)
    """Folders with sequences of this host, beside those that are shipped."""
    shipped: bool = True
    """Whether the shipped rules and sequences are used."""
    store: bool = True
    """Whether events are kept on disk."""
    store_bytes: int = 4 << 30
    """Size of the store at which the oldest events go."""
    store_days: int = 30
    """Age at which events go."""
    log_bytes: int = 16 << 20
    """Size of alerts.jsonl at which it is turned over."""
    log_files: int = 4
    rate: int = 20_000
    """Events of one type a second that are passed on; more are counted only."""
    breaker: int = 200_000
    """Events of all types a second at which the circuit breaker opens: then everything is counted only."""
    metrics: str = UNIX
    """Where Prometheus' metrics can be had: `unix`, `none`, or an address and a port."""
    metrics_file: str = ""
    """A file that they are written to as well, for node_exporter's text-file collector."""

    TEXTS: ClassVar[Texts] = TEXTS
    BOUNDS: ClassVar[Bounds] = {
        "poll": (0.01, 10),
        "keep_events": (100, 1_000_000),
        "keep_alerts": (100, 100_000),
        "store_bytes": (1 << 20, 1 << 44),
        "store_days": (1, 3_650),
        "log_bytes": (64 << 10, 1 << 34),
        "log_files": (1, 100),
        "rate": (100, 10_000_000),
        "breaker": (1_000, 100_000_000),
    }
