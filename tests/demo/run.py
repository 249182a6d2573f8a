"""One run of the demo, from an empty guest to the verdict."""

from __future__ import annotations

import socket
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

from rich.console import Console

from tests.demo import build, certifying, lab, watching
from tests.demo.denials import Denial, Denials
from tests.demo.intruder import Intruder, Outcome
from tests.demo.outside import Outside
from tests.demo.report import WIDTH, Run, rule_of, show, word, write
from tests.demo.steps import Target
from tests.demo.traffic import Traffic, http_request
from tests.demo.world import SECRET
from tests.guest import kernels, terminal
from tests.guest.cache import REPOSITORY
from tests.guest.guest import Guest
from tests.guest.progress import step

READY_SECONDS = 60
SETTLE_SECONDS = 3
"""Normal requests before the intruder comes, and after he has gone."""


def demo(kernel: str, *, enforce: bool, tui: bool = False, folder: Path = REPOSITORY / "build") -> Run:
    """Runs it, shows what came of it, and writes it to `folder`.

    `tui`: meanwhile `menshen tui` has this terminal, until somebody leaves it.
    """
    begin = time.monotonic()
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    with tempfile.TemporaryDirectory(prefix="menshen-demo-") as work:
        with step("demo: compiling and signing the service"):
            programs = build.build(Path(work))
        port = _free_port()
        with Guest(kernel, forward={port: 80}) as guest:
            scene = _set(guest, port, programs, enforce=enforce)
            run = _watched(scene, console) if tui else scene.play(console)
            run = replace(run, seconds=time.monotonic() - begin)
    show(run, console)
    write(run, folder)
    return run


@dataclass(frozen=True)
class Scene:
    """The guest with everything in its place."""

    guest: Guest
    port: int
    programs: build.Programs
    outside: Outside
    denials: Denials | None
    """None without Menshen."""
    certified: str = ""
    """How the last act's sequence was made to block."""

    def play(self, console: Console) -> Run:
        """The intruder and the last act, beside the service's traffic."""
        guest, denials = self.guest, self.denials
        outside, watched = self.outside, None
        traffic = Traffic(guest, self.port)
        traffic.start()
        try:
            time.sleep(SETTLE_SECONDS)
            target = _target(guest, self.programs, kernel=guest.kernel)
            intruder = Intruder(guest, self.port, target, outside, denials)
            outcomes = intruder.work(lambda outcome: _tell(console, outcome))
            if denials is not None:
                watched = watching.act(guest, denials, self.certified)
                _tell(console, watched.last)
            time.sleep(SETTLE_SECONDS)
        finally:
            traffic.stop()
        strangers: list[Denial] = []
        why = ""
        if denials is not None:
            denials.stop()
            tried = [outcome.attempt for outcome in outcomes]
            tried += [watched.last.attempt] if watched else []
            why = lab.explain(guest, _secret(outcomes))
            strangers = [one for one in denials.all if not any(one.fits(attempt) for attempt in tried)]
        return Run(
            kernel=guest.kernel.release,
            enforced=denials is not None,
            outcomes=outcomes,
            requests=traffic.requests,
            logins=traffic.logins,
            arrived=outside.received,
            strangers=strangers,
            seconds=0.0,
            fault=denials.fault.strip() if denials else "",
            why=why,
            watched=watched,
        )


def _set(guest: Guest, port: int, programs: build.Programs, *, enforce: bool) -> Scene:
    with step("demo: the service, and a world around it"), ThreadPoolExecutor() as pool:
        enrolled = pool.submit(lab.enrol, guest, programs) if enforce else None
        lab.furnish(guest, programs)
        if enrolled:
            enrolled.result()
    denials = None
    if enforce:
        with step("demo: Menshen's agent, the policies, the watch"):
            lab.start_menshen(guest)
            watching.start(guest)
        denials = Denials(guest)
    with step("demo: starting redis, payments-api, nginx and sshd"):
        lab.start_services(guest)
        _wait_until_served(port)
    outside, certified = Outside(guest), ""
    if enforce:
        with step("demo: a benign history, and the sequence that it certifies"):
            certified = certifying.certify(guest)
    return Scene(guest, port, programs, outside, denials, certified)


def _watched(scene: Scene, console: Console) -> Run:
    """The same while `menshen tui` has the terminal; what would have been printed is printed afterwards."""
    aside = Console(file=StringIO(), width=console.width, highlight=False)
    with ThreadPoolExecutor(1) as stage:
        played = stage.submit(scene.play, aside)
        terminal.attach(scene.guest, ["menshen", "tui"])
        with step("demo: until the play is over"):
            run = played.result()
    assert isinstance(aside.file, StringIO)
    console.print(aside.file.getvalue(), end="")
    return run


def _secret(outcomes: list[Outcome]) -> Denial | None:
    """The denial that is explained at the end."""
    return next((one.denial for one in outcomes if one.denial and SECRET in one.attempt.things), None)


def _target(guest: Guest, programs: build.Programs, *, kernel: kernels.Kernel) -> Target:
    return Target(
        foothold=programs.foothold,
        module=build.module(kernel),
        redis=lab.main_pid(guest, "redis-server"),
        sshd=lab.main_pid(guest, "ssh"),
    )


def _tell(console: Console, outcome: Outcome) -> None:
    attempt = outcome.attempt
    console.print(
        f"{attempt.step:>3}  {attempt.what:60} {outcome.error:8} {word(outcome)}  {rule_of(outcome)}",
        soft_wrap=True,
    )


def _wait_until_served(port: int) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            http_request(port, "GET", "/healthz")
            return
        except Exception:  # it will say what is wrong when the time is over
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
