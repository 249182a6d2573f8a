"""The watch's metrics, scraped from a running one."""

from __future__ import annotations

import pytest

from bpf_lsm.collection import Meter
from bpf_lsm.observation import Tally, Type
from tests.unit.enforcer.test_metrics import get, samples
from tests.unit.watch.conftest import Host


def scrape(host: Host) -> dict[tuple[str, tuple[str, ...]], float]:
    return samples(get(host.places.watch_metrics_socket)[1])


def test_events_move_by_type_and_add_up(host: Host) -> None:
    before = scrape(host)
    host.feed(5_000)
    counts = host.source.counts[Type.EXEC]
    counts[Tally.GENERATED] += 7
    counts[Tally.LOST] += 4
    counts[Tally.LIMITED] += 3
    after = scrape(host)
    assert not [name for name, _ in before if name == "menshen_watch_events_total"]
    found = {labels: value for (name, labels), value in after.items() if name == "menshen_watch_events_total"}
    assert sum(found.values()) == 5_007
    assert found["lost", "exec"] == 4
    assert found["limited", "exec"] == 3
    assert found["delivered", "exec"] == counts[Tally.DELIVERED] > 0
    assert after["menshen_watch_ring_lost_records_total", ("observations",)] == 4
    assert after["menshen_watch_alerts_total", ("rule", "low", "any-exec")] == host.watch.alerts.seen > 0
    assert before["menshen_watch_alerts_total", ("rule", "low", "any-exec")] == 0
    assert after["menshen_watch_processes", ()] > before["menshen_watch_processes", ()]
    name = "menshen_watch_process_cpu_seconds_total", ()
    assert after[name] > before[name]


def test_the_breaker_and_the_rings_are_told(host: Host) -> None:
    host.source.breaker_open = True
    host.source.meters[Meter.OPENED] = 2
    host.source.meters[Meter.STRINGS_LOST] = 5
    host.source.meters[Meter.NO_MEMORY] = 1
    found = scrape(host)
    assert found["menshen_watch_breaker_open", ()] == 1
    assert found["menshen_watch_breaker_opened_total", ()] == 2
    assert found["menshen_watch_ring_lost_records_total", ("strings",)] == 5
    assert found["menshen_watch_collection_total", ("no_memory",)] == 1
    assert found["menshen_watch_ring_waiting_bytes", ("strings",)] == 24
    assert found["menshen_watch_map_entries", ("reads",)] == 7
    assert found["menshen_watch_detections", ("rule",)] == 1
    assert found["menshen_watch_gate_connected", ()] == 0
    assert found["menshen_watch_healthy", ("gate",)] == 0
    assert found["menshen_watch_healthy", ("pipeline",)] == 1


def test_without_a_store_nothing_is_said_of_one(host: Host) -> None:
    assert not [name for name, _ in scrape(host) if "store" in name]


@pytest.mark.parametrize("meter", Meter)
def test_every_meter_is_exported(host: Host, meter: Meter) -> None:
    if meter is Meter.GAPS:  # the sum of what was lost and limited
        return
    host.source.meters[meter] = 991
    assert 991 in scrape(host).values()
