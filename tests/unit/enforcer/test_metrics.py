"""Metrics of both services: scraped for real, parsed by the library, and the same as the documents say."""

from __future__ import annotations

import re
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

from bpf_lsm.layout import Counter
from enforcer.agent import metrics as agent_metrics
from enforcer.errors import EnforcerError
from enforcer.places import Places
from enforcer.serving.exporter import Exporter, Outputs, address_fault, file_fault
from enforcer.serving.metrics import BASE_UNITS, Exported, Metric, Names, table
from enforcer.settings import Settings, override, parse
from enforcer.watch import metrics as watch_metrics
from tests.unit.enforcer.conftest import Start
from tests.unit.enforcer.fakes import record

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/metrics.md"
TABLES: dict[str, tuple[Metric[Any], ...]] = {
    "agent": agent_metrics.metrics(),
    "watch": watch_metrics.metrics(),
}
ALL = [each for found in TABLES.values() for each in found]


def get(path: Path, target: str = "/metrics", accept: str = "") -> tuple[str, str]:
    """Head and body of an answer on a unix socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(path))
        client.sendall(f"GET {target} HTTP/1.0\r\nAccept: {accept}\r\n\r\n".encode())
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    head, _, body = answer.decode().partition("\r\n\r\n")
    return head, body


def samples(text: str) -> dict[tuple[str, tuple[str, ...]], float]:
    """By name and values of labels in the order of their names, as the library reads it."""
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# What there is, and what the documents say


def test_the_documents_list_exactly_what_is_exported() -> None:
    shown = re.findall(r"(?:^\|.*\n)+", PAGE.read_text(), re.M)
    for metrics in TABLES.values():
        assert table(metrics) + "\n" in shown, table(metrics)


def test_names_follow_the_conventions() -> None:
    names = [each.exported for each in ALL]
    assert len(set(names)) == len(names)
    for each in ALL:
        assert re.fullmatch(r"menshen_(agent|watch)_[a-z][a-z_]*[a-z]", each.name), each
        assert not each.name.endswith("_total"), each
        assert each.exported.endswith("_total") == (each.kind == "counter"), each
        unit = next((unit for unit in BASE_UNITS if each.name.endswith(f"_{unit}")), None)
        assert each.unit == unit or (unit is None and each.unit not in BASE_UNITS), each
        assert each.help.endswith("."), each
        assert each.unit, each


def test_every_count_of_the_kernel_is_exported(start: Start) -> None:
    host = start()
    host.gate.counts = {counter.name.lower(): 10 + counter for counter in Counter}
    _, body = get(host.places.metrics_socket)
    values = list(samples(body).values())
    assert [each.name for each in Counter if values.count(10 + each) < 1] == []


# The agent


def test_the_agents_counters_move_between_two_scrapes(start: Start) -> None:
    host = start()
    head, body = get(host.places.metrics_socket)
    assert head.startswith("HTTP/1.0 200")
    assert "text/plain; version=" in head
    before = samples(body)
    host.gate.counts["denied"] += 5
    host.gate.counts["denials_lost"] += 2
    host.gate.denials.put(record(), record())
    until(lambda: host.agent.journal.counts["denial"] == 2)
    after = samples(get(host.places.metrics_socket)[1])

    def moved(name: str, *labels: str) -> float:
        return after[f"menshen_agent_{name}", labels] - before.get((f"menshen_agent_{name}", labels), 0)

    assert moved("denials_total") == 5
    assert moved("ring_lost_records_total", "denials") == 2
    assert moved("ring_lost_records_total", "events") == 0
    assert moved("ring_read_records_total", "denials") == 2
    assert moved("events_total", "denial") == 2
    assert moved("process_cpu_seconds_total") > 0
    assert after["menshen_agent_process_resident_memory_bytes", ()] > 10_000_000
    assert after["menshen_agent_healthy", ("losses",)] == 0
    assert before["menshen_agent_healthy", ("losses",)] == 1


def test_denials_are_told_by_class_and_by_document(start: Start) -> None:
    host = start()
    assert host.agent.policy.apply(
        {"a.yaml": b"Protection ssh sshd enforce\nPolicy pay payments/api audit\n"}
    )
    current = host.agent.policy.current
    assert current is not None
    numbers = {rule.name: number for number, rule in enumerate(current.rules)}
    host.gate.rules |= {numbers["ssh"]: (3, 0), numbers["pay"]: (0, 4), numbers["guard"]: (1, 0)}
    found = samples(get(host.places.metrics_socket)[1])
    assert found["menshen_agent_class_denials_total", ("protection",)] == 3
    assert found["menshen_agent_class_denials_total", ("guard",)] == 1
    assert found["menshen_agent_class_would_denials_total", ("default",)] == 4
    assert found["menshen_agent_policy_denials_total", ("Protection", "ssh")] == 3
    assert found["menshen_agent_policy_would_denials_total", ("Policy", "pay")] == 4
    assert found["menshen_agent_policies", ("Policy", "audit")] == 1
    assert found["menshen_agent_policy_generation", ()] == host.agent.policy.generation > 0
    assert found["menshen_agent_map_max_entries", ("catalogue",)] == 1024
    assert found["menshen_agent_ring_waiting_bytes", ("events",)] == 16


def test_it_can_be_had_as_openmetrics_too(start: Start) -> None:
    host = start()
    head, body = get(host.places.metrics_socket, accept="application/openmetrics-text; version=1.0.0")
    assert "application/openmetrics-text" in head
    parsed: Any = openmetrics.text_string_to_metric_families  # without types
    families = {family.name: family for family in parsed(body)}
    assert families["menshen_agent_process_cpu_seconds"].unit == "seconds"
    assert families["menshen_agent_denials"].type == "counter"


def test_a_page_that_does_not_exist_is_not_found(start: Start) -> None:
    assert get(start().places.metrics_socket, "/secret")[0].startswith("HTTP/1.0 404")


def test_the_socket_is_for_root_and_the_group(start: Start) -> None:
    found = start().places.metrics_socket.stat()
    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == 0o660


def test_the_library_is_loaded_by_the_first_scrape_only(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from enforcer.serving.exporter import Exporter, Outputs
from enforcer.serving.metrics import Exported, Names
from enforcer.agent import metrics, run
from enforcer.watch import metrics, run
Exporter(Exported((), lambda: 0), Outputs("unix", "", Path({str(tmp_path / "s")!r}))).start()
sys.exit("prometheus_client" in sys.modules or "http.server" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0


# Where it can be had


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def one(read: Callable[[int], float] = lambda _: 7) -> Exported[int]:
    names: Names[int] = Names("menshen_agent")
    return Exported((names.gauge("things", "things", "A test.", read),), lambda: 0)


@pytest.fixture
def export(tmp_path: Path) -> Iterator[Callable[..., Exporter]]:
    running = []

    def start(
        address: str, file: str = "", exported: Exported[int] | None = None, every: float = 15
    ) -> Exporter:
        made = Exporter(exported or one(), Outputs(address, file, tmp_path / "m.sock"), every=every)
        made.start()
        running.append(made)
        return made

    yield start
    for each in running:
        each.stop()


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_an_address_answers_scrapes(export: Callable[..., Exporter], host: str) -> None:
    port = free_port()
    made = export(f"{host}:{port}")
    if host == "[::1]" and made.fault:
        pytest.skip("this machine has no IPv6")
    with urlopen(f"http://{host}:{port}/metrics", timeout=10) as answer:
        assert samples(answer.read().decode()) == {("menshen_agent_things", ()): 7}


def test_without_a_setting_no_port_is_opened(export: Callable[..., Exporter], tmp_path: Path) -> None:
    export(Settings().metrics)
    assert (tmp_path / "m.sock").is_socket()
    export("none")
    assert Settings().metrics == "unix"


def test_a_port_that_is_taken_is_told_and_stops_nothing(export: Callable[..., Exporter]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert export(address).fault == f"cannot listen at {address}: Address already in use"


def test_the_file_is_whole_is_renewed_and_goes_with_the_service(
    export: Callable[..., Exporter], tmp_path: Path
) -> None:
    path = tmp_path / "menshen.prom"
    counts = iter(range(1, 1_000_000))
    made = export("none", str(path), one(lambda _: next(counts)), every=0.01)
    until(path.exists)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644, "node_exporter is somebody else"
    seen = set()

    def renewed() -> bool:
        seen.add(samples(path.read_text())["menshen_agent_things", ()])
        return len(seen) > 2

    until(renewed)
    made.stop()
    assert list(tmp_path.glob("*.prom")) == []


def test_a_file_that_cannot_be_written_is_told(export: Callable[..., Exporter], tmp_path: Path) -> None:
    made = export("none", str(tmp_path / "missing/menshen.prom"))
    until(lambda: bool(made.fault))
    assert "missing/menshen.prom: No such file or directory" in made.fault


def test_a_metric_that_cannot_be_read_fails_the_scrape_and_not_the_service(
    export: Callable[..., Exporter], tmp_path: Path
) -> None:
    answers: list[float | OSError] = [OSError("a test"), 8]

    def read(_: int) -> float:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    export("unix", "", one(read))
    assert get(tmp_path / "m.sock")[0].startswith("HTTP/1.0 500")
    assert samples(get(tmp_path / "m.sock")[1]) == {("menshen_agent_things", ()): 8}


def test_a_client_that_says_nothing_does_not_keep_the_others_for_long(
    export: Callable[..., Exporter], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enforcer.serving.exporter.PATIENCE", 0.2)
    export("unix")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(tmp_path / "m.sock"))
        assert get(tmp_path / "m.sock")[0].startswith("HTTP/1.0 200")


def test_a_socket_that_a_crash_left_is_taken_over(export: Callable[..., Exporter], tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "m.sock"))
    assert not export("unix").fault
    assert get(tmp_path / "m.sock")[0].startswith("HTTP/1.0 200")


# The settings

WRONG = [
    ("metrics: on", "metrics is a text"),
    ("metrics: localhost:9464", "an IP address and a port"),
    ("metrics: '127.0.0.1'", "an IP address and a port"),
    ("metrics: '127.0.0.1:70000'", "an IP address and a port"),
    ("metrics: '0.0.0.0:'", "an IP address and a port"),
    ("metrics_file: menshen.prom", "a path from /"),
    ("metrics_file: /tmp/menshen.txt", "ends with .prom"),
]


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_a_wrong_setting_is_told(text: str, said: str) -> None:
    with pytest.raises(EnforcerError) as error:
        parse(text.encode(), "agent.yaml", Settings)
    assert f"agent.yaml:1:1: {text.partition(':')[0]}" in str(error.value)
    assert said in str(error.value)


@pytest.mark.parametrize("text", ["unix", "none", "127.0.0.1:9464", "[::1]:9464", "0.0.0.0:1"])
def test_addresses_that_can_be_used(text: str) -> None:
    assert address_fault(text) is None


def test_files_that_can_be_used() -> None:
    assert file_fault("") is None
    assert file_fault("/var/lib/prometheus/node-exporter/menshen-agent.prom") is None


def test_the_command_line_goes_before_the_settings() -> None:
    assert override(Settings(metrics="none"), {"metrics": "[::1]:9464"}).metrics == "[::1]:9464"
    with pytest.raises(EnforcerError, match="an IP address and a port"):
        override(Settings(), {"metrics": "everywhere"})


# On one page


def test_status_shows_the_main_ones(start: Start) -> None:
    host = start()
    shown = host.menshen("status").output
    assert f"metrics: {host.places.metrics_socket}" in shown
    assert re.search(r"\d+ MB, [\d.]+ s of processor time", shown)
    assert re.search(r"watch +not running", shown)


def test_the_two_services_have_sockets_of_their_own() -> None:
    assert Places().metrics_socket != Places().watch_metrics_socket
