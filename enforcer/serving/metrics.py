"""What a service measures of itself, as a table, and that table in Prometheus' text.

`enforcer/agent/metrics.py` and `enforcer/watch/metrics.py` hold the tables; docs/metrics.md is compared with
them by a test. prometheus_client is imported when somebody asks: it takes memory, and most hosts are asked by
nobody.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar

from enforcer.serving.process import resident_bytes

if TYPE_CHECKING:
    from prometheus_client.registry import CollectorRegistry

    from bpf_lsm.fill import Fill

S = TypeVar("S")
Value = float | Mapping[tuple[str, ...], float] | None
"""A number, one for each combination of labels, or nothing to tell."""

BASE_UNITS: Final = ("seconds", "bytes")
"""Units that a name ends with, as Prometheus has it. What is counted in others is named for what it is."""


@dataclass(frozen=True, slots=True)
class Metric(Generic[S]):
    """One metric of a service that is looked at as `S`."""

    name: str
    """Without `_total`."""
    kind: Literal["counter", "gauge"]
    unit: str
    help: str
    read: Callable[[S], Value]
    labels: tuple[str, ...] = ()

    @property
    def exported(self) -> str:
        """As it is scraped."""
        return f"{self.name}_total" if self.kind == "counter" else self.name


@dataclass(frozen=True, slots=True)
class Exported(Generic[S]):
    """A service's metrics, and the look that one scrape takes of it."""

    metrics: Sequence[Metric[S]]
    look: Callable[[], S]

    def collect(self) -> Iterator[Any]:
        """For the library: a family for each metric."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415

        now = self.look()
        for metric in self.metrics:
            make = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            unit = metric.unit if metric.unit in BASE_UNITS else ""
            family = make(metric.name, metric.help, labels=metric.labels, unit=unit)
            value = metric.read(now)
            for labels, number in (value if isinstance(value, Mapping) else {(): value}).items():
                if number is not None:
                    family.add_metric(labels, number)
            yield family

    def registry(self) -> CollectorRegistry:
        """That holds these and no others."""
        from prometheus_client.registry import CollectorRegistry  # noqa: PLC0415

        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return registry

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """The text and its content type, in the form that `accept` (of HTTP) asks for."""
        from prometheus_client.exposition import choose_encoder  # noqa: PLC0415

        encode, kind = choose_encoder(accept)
        return encode(self.registry()), kind


@dataclass(frozen=True, slots=True)
class Names(Generic[S]):
    """Makes the metrics of one service, whose names begin alike."""

    prefix: str

    def counter(self, name: str, unit: str, text: str, read: Callable[[S], Value], *labels: str) -> Metric[S]:
        """What only grows, until the process or what it counts begins anew."""
        return Metric(f"{self.prefix}_{name}", "counter", unit, text, read, labels)

    def gauge(self, name: str, unit: str, text: str, read: Callable[[S], Value], *labels: str) -> Metric[S]:
        """What is so now."""
        return Metric(f"{self.prefix}_{name}", "gauge", unit, text, read, labels)

    def rings(self, look: Callable[[S], Mapping[str, Fill]]) -> tuple[Metric[S], ...]:
        """How full the kernel's rings are."""
        return (
            self.gauge(
                "ring_waiting_bytes",
                "bytes",
                "What waits in a ring to be read.",
                lambda now: {(name,): fill.used for name, fill in look(now).items()},
                "ring",
            ),
            self.gauge(
                "ring_size_bytes",
                "bytes",
                "Room of a ring.",
                lambda now: {(name,): fill.size for name, fill in look(now).items()},
                "ring",
            ),
        )

    def process(self, started: Callable[[S], float]) -> tuple[Metric[S], ...]:
        """What every process measures of itself. `started` is in seconds since the epoch."""

        def descriptors(_: S) -> Value:
            return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - numbers, not paths

        return (
            self.counter(
                "process_cpu_seconds",
                "seconds",
                "Processor time, user and system.",
                lambda _: time.process_time(),
            ),
            self.gauge(
                "process_resident_memory_bytes",
                "bytes",
                "Memory that it holds now.",
                lambda _: resident_bytes(),
            ),
            self.gauge("process_start_time_seconds", "seconds", "When it started, since the epoch.", started),
            self.gauge("process_open_fds", "descriptors", "Open descriptors.", descriptors),
        )


def table(metrics: Iterable[Metric[Any]]) -> str:
    """The same for people, in Markdown: what docs/metrics.md has."""
    rows = [
        f"| `{each.exported}` | {each.kind} | {each.unit} | "
        f"{', '.join(f'`{label}`' for label in each.labels) or '-'} | {each.help} |"
        for each in metrics
    ]
    return "\n".join(["| name | type | unit | labels | what it is |", "|---|---|---|---|---|", *rows])
