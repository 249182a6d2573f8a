"""How much the engine of sequences remembers, and what it counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the engine's memory; `slack` is how far out of order events may be, in nanoseconds."""

    slack: int = 50 * 10**6
    keys: int = 1 << 16
    """Sequences times keys that have a partial match."""
    runs: int = 32
    """Partial matches of one sequence for one key, and as many again as its steps count to."""
    processes: int = 1 << 15
    """Processes whose ancestors and programs are known."""
    sessions: int = 1 << 12
    """Sessions whose gaps are remembered."""


@dataclass(slots=True)
class Counters:
    """What the engine did, and what it had to let go."""

    events: int = 0
    looked_at: int = 0
    alerts: int = 0
    gaps: int = 0
    without_key: int = 0
    """Events that could have begun a sequence but for their session, process or file not being known."""
    expired: int = 0
    keys_evicted: int = 0
    runs_evicted: int = 0
    processes_forgotten: int = 0
    """Processes that were forgotten although they, or a descendant, may still do something."""
    repeated_denials: int = 0
