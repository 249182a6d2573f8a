"""The guests themselves: what every other test with a kernel leans on."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.guest.channel import ChannelError
from tests.guest.guest import CommandError, Guest

RELEASES = {"6.1": "6.1.", "6.12": "6.12.", "latest": "7."}


def test_the_kernel_is_the_one_asked_for_and_has_bpf_among_its_security_modules(
    guest: Guest, kernel: str
) -> None:
    assert guest.run("uname -r").stdout.startswith(RELEASES[kernel])
    assert "bpf" in guest.get("/sys/kernel/security/lsm").decode().split(",")
    assert guest.run("test -r /sys/kernel/btf/vmlinux").status == 0
    clock = guest.run("cat /sys/devices/system/clocksource/clocksource0/current_clocksource")
    assert clock.stdout == "tsc\n"


def test_a_guest_is_up_with_nothing_failed(guest: Guest) -> None:
    assert guest.run("systemctl is-system-running").stdout == "running\n"
    assert guest.run("systemctl --failed --no-legend").stdout == ""


def test_menshen_is_installed_and_nothing_of_it_runs(guest: Guest) -> None:
    assert guest.run("command -v menshen").stdout == "/usr/local/bin/menshen\n"
    code = "import policies, grpc, numpy; print(policies.__file__)"
    assert guest.run(["/opt/menshen/bin/python", "-c", code]).stdout.startswith("/opt/menshen/lib/")
    assert guest.run(["pgrep", "-f", "/opt/menshen"], check=False).status == 1


def test_a_command_has_its_status_and_both_its_streams(guest: Guest) -> None:
    result = guest.run("echo out; echo err >&2; id -u; exit 3", check=False)
    assert (result.status, result.stdout, result.stderr) == (3, "out\n0\n", "err\n")
    with pytest.raises(CommandError, match="ended with 3"):
        guest.run("exit 3")


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("kill -9 $$", -9),
        (["/no/such/program"], 127),
        (["/etc/passwd"], 126),
        (["test", "$HOME", "=", "$HOME"], 0),
    ],
)
def test_statuses_are_what_a_shell_would_say(guest: Guest, command: str | list[str], status: int) -> None:
    assert guest.run(command, check=False).status == status


def test_input_environment_and_folder_reach_the_command(guest: Guest) -> None:
    result = guest.run("cat; pwd; echo $WORD", input="typed\n", env={"WORD": "said"}, cwd="/tmp")
    assert result.stdout == "typed\n/tmp\nsaid\n"


def test_a_command_that_takes_too_long_is_ended(guest: Guest) -> None:
    with pytest.raises(TimeoutError):
        guest.run("sleep 61", timeout=0.5)
    time.sleep(0.5)
    assert guest.run("pgrep -x sleep", check=False).status == 1


def test_a_daemon_that_keeps_the_pipe_does_not_hold_its_starter(guest: Guest) -> None:
    begin = time.monotonic()
    assert guest.run("sleep 63 & echo started").stdout == "started\n"
    assert time.monotonic() - begin < 10
    assert guest.run("pgrep -x sleep").status == 0


def test_many_commands_run_at_a_time_and_none_gets_the_output_of_another(guest: Guest) -> None:
    def one(number: int) -> bool:
        return guest.run(f"sleep 0.5; seq {number} {number + 999}").stdout.split()[-1] == str(number + 999)

    begin = time.monotonic()
    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(one, range(20)))
    assert time.monotonic() - begin < 9  # one after the other the sleeps alone take 10 s


def test_output_streams_as_it_comes(guest: Guest) -> None:
    pieces = guest.stream("echo first; sleep 1; echo second >&2")
    begin = time.monotonic()
    assert next(pieces) == ("stdout", b"first\n")
    assert time.monotonic() - begin < 0.9
    assert list(pieces) == [("stderr", b"second\n"), ("status", b"0")]


def test_files_go_in_and_out_whole(guest: Guest) -> None:
    data = os.urandom(3_000_001)
    guest.put("/var/tmp/new/folder/file", data, mode=0o750)
    assert guest.run("stat -c %a /var/tmp/new/folder/file").stdout == "750\n"
    assert (
        guest.run("sha256sum < /var/tmp/new/folder/file").stdout.split()[0]
        == hashlib.sha256(data).hexdigest()
    )
    assert guest.get("/var/tmp/new/folder/file") == data
    with pytest.raises(ChannelError, match="No such file"):
        guest.get("/var/tmp/nowhere")


def test_large_output_and_input_arrive_whole(guest: Guest) -> None:
    assert len(guest.run("head -c 5000000 /dev/zero | tr '\\0' x").stdout) == 5_000_000
    assert guest.run("wc -c", input=b"y" * 2_000_000).stdout == "2000000\n"


def test_restore_takes_files_and_processes_back(guest: Guest) -> None:
    guest.run("echo before > /root/state")
    guest.snapshot("before")
    guest.run("echo after > /root/state; rm /etc/hostname; sync; (setsid sleep 1000 &)")
    late = guest.popen("sleep 1000")
    guest.restore("before")
    assert guest.get("/root/state") == b"before\n"
    assert guest.run("cat /etc/hostname").stdout == "guest\n"
    assert guest.run("pgrep -x sleep", check=False).status == 1
    with pytest.raises(ChannelError, match="set back to a snapshot"):
        late.wait(5)


def test_a_snapshot_taken_while_commands_run_is_restored_with_them(guest: Guest) -> None:
    talker = guest.popen("while :; do echo talk; done")
    next(talker.events(10))
    guest.snapshot("talking")
    for _ in range(3):
        guest.restore("talking")
        assert guest.run("echo clear").stdout == "clear\n"


def test_a_panic_ends_the_command_with_the_console_and_the_next_test_has_a_guest_again(guest: Guest) -> None:
    with pytest.raises(ChannelError, match="sysrq triggered crash"):
        guest.run("echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger; sleep 100")
    assert not guest.alive
    guest.refresh()
    assert guest.run("echo up").stdout == "up\n"


def test_the_clock_is_right_after_a_restore(guest: Guest) -> None:
    assert abs(float(guest.run("date +%s.%N").stdout) - time.time()) < 2


def test_restoring_costs_about_a_second(guest: Guest) -> None:
    begin = time.monotonic()
    guest.restore()
    guest.run("true")
    assert time.monotonic() - begin < 3


def test_nothing_outside_is_reached_and_the_loopback_is(guest: Guest) -> None:
    guest.run("systemctl start nginx")
    assert "nginx" in guest.run("curl -s http://127.0.0.1/").stdout
    assert guest.run("curl -s -m 3 http://192.0.2.1/", check=False).status != 0


def test_a_share_is_there_read_only(another_guest: Callable[..., Guest], tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/file").write_text("from the host")
    (tmp_path / "inner/file").chmod(0o640)
    guest = another_guest(share=tmp_path)
    assert guest.get("/mnt/share/inner/file") == b"from the host"
    assert guest.run("stat -c %a /mnt/share/inner/file").stdout == "640\n"
    assert "Read-only" in guest.run("touch /mnt/share/inner/file", check=False).stderr
    guest.restore()
    assert guest.run("cat /mnt/share/inner/file").stdout == "from the host"


@pytest.mark.slow
def test_a_bench_guest_counts_instructions_without_the_security_modules(
    another_guest: Callable[..., Guest],
) -> None:
    guest = another_guest(icount=True, lsm="integrity")
    assert not {"bpf", "apparmor"} & set(guest.get("/sys/kernel/security/lsm").decode().split(","))
    assert guest.run("nproc").stdout == "1\n"
    assert "norandmaps" in guest.get("/proc/cmdline").decode()
    assert guest.run("cat /sys/devices/system/clocksource/clocksource0/current_clocksource").stdout == "tsc\n"
    count = "import time; t=time.perf_counter_ns(); sum(range(10**6)); print(time.perf_counter_ns()-t)"
    times = [int(guest.run(["python3", "-c", count]).stdout) for _ in range(3)]
    assert max(times) < min(times) * 1.05


def test_the_command_line_passes_output_and_status_on(kernel: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("shared\n")
    words = [
        "run",
        "--kernel",
        kernel,
        "--share",
        str(tmp_path),
        "cat /mnt/share/file; echo err >&2; exit 42",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "tests.guest", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (42, "shared\n")
    assert "err\n" in done.stderr
