"""A guest: a Debian machine on a kernel of the matrix with Menshen installed, there in about a second.

    with Guest("6.12") as guest:
        guest.run("menshen status")

It is booted once; from then on every guest of the same kind starts from the snapshot of that boot.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.guest import cache, kernels, wire
from tests.guest import share as shares
from tests.guest.channel import ChannelError, Process
from tests.guest.host import run
from tests.guest.image import image
from tests.guest.layer import layer
from tests.guest.machine import LSM, Machine, Spec, workplace
from tests.guest.progress import note, step
from tests.guest.qmp import QmpError

READY = "ready"
BOOT_SECONDS = 300
ANSWER_SECONDS = 60


class CommandError(Exception):
    """A command in the guest ended with a status that was not expected."""

    def __init__(self, result: Result) -> None:
        self.result = result
        parts = [f"`{result.command}` ended with {result.status}"]
        parts += [text.rstrip()[-4000:] for text in (result.stdout, result.stderr) if text.strip()]
        super().__init__("\n".join(parts))


@dataclass(frozen=True)
class Result:
    """How a command ended and what it wrote."""

    command: str
    status: int
    stdout: str
    stderr: str


class Guest:
    """A running guest. Use it as a context manager; several may run side by side.

    `lsm`, `cmdline`, `memory`, `cpus` and `icount` make a kind of machine of its own, booted once.
    `forward` maps ports of the host's loopback to ports of the guest, which reaches nothing outside itself.
    """

    def __init__(
        self,
        kernel: str = "6.1",
        *,
        share: Path | str | None = None,
        lsm: str = LSM,
        cmdline: str = "",
        memory: int = 1024,
        cpus: int = 2,
        icount: bool = False,
        menshen: bool = True,
        forward: Mapping[int, int] | None = None,
    ) -> None:
        self.kernel = kernels.kernel(kernel)
        self.spec = Spec(self.kernel, lsm=lsm, cmdline=cmdline, memory=memory, cpus=cpus, icount=icount)
        self._share = None if share is None else Path(share)
        self._menshen = menshen
        self._forward = forward
        self._machine: Machine | None = None
        self._folder: Path | None = None

    # life --------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Restores the booted guest; boots it first if none of this kind was booted before."""
        origin = _installed(self.spec) if self._menshen else _booted(self.spec)
        self._folder = workplace()
        try:
            disk = _copy(origin, self._folder)
            share = shares.empty()
            if self._share is not None:
                share = shares.picture(self._share, self._folder / "share")
            self._machine = Machine(self.spec, disk, share, forward=self._forward, paused=True)
            self.restore(READY)
        except BaseException:
            self.stop()
            raise

    def boot_again(self, first: tuple[Path, str] | None = None) -> None:
        """Shuts down and boots from its disk, no snapshot in between; `first` as Machine has it."""
        self.popen("systemctl poweroff")
        self.machine.off(BOOT_SECONDS)
        disk, share = self._workplace() / "disk.qcow2", shares.empty()
        self._machine = Machine(self.spec, disk, share, forward=self._forward, first=first)
        _settle(self._machine)

    def _workplace(self) -> Path:
        if self._folder is None:
            raise ChannelError("this guest does not run: use it in a `with` block")
        return self._folder

    def stop(self) -> None:
        """Ends the guest and takes its disk away."""
        if self._machine is not None:
            self._machine.kill()
            self._machine = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    @property
    def running(self) -> bool:
        return self._machine is not None

    @property
    def alive(self) -> bool:
        """False once its kernel has panicked or its QEMU has ended."""
        return self._machine is not None and self._machine.alive

    def refresh(self) -> None:
        """As it was when it started, whatever became of it since."""
        if self.alive:
            try:
                self.restore(READY)
                return
            except (ChannelError, QmpError, OSError) as error:
                note(f"starting a guest anew that could not be set back: {error}")
        self.stop()
        self.start()

    @property
    def machine(self) -> Machine:
        """The QEMU process behind it."""
        if self._machine is None:
            raise ChannelError("this guest does not run: use it in a `with` block")
        return self._machine

    def console(self, lines: int = 80) -> str:
        """The end of the serial console: the kernel's messages."""
        return self.machine.console(lines)

    # snapshots ---------------------------------------------------------------------------------------------

    def snapshot(self, name: str) -> None:
        """Keeps the state of the whole guest, memory and disk, under this name."""
        with self.machine.link.quiet():
            self.machine.save(name)

    def restore(self, name: str = READY) -> None:
        """Back to a snapshot, the clock right, running commands gone. `ready` is the guest as it started."""
        machine = self.machine
        if not machine.alive:
            raise ChannelError(f"the guest has ended; the end of its console:\n{machine.console()}")
        machine.load(name)
        machine.resume()
        machine.link.hello(ANSWER_SECONDS)
        machine.link.set_clock()
        if self._share is not None and name == READY:
            self.run(shares.MOUNT)

    # commands and files ------------------------------------------------------------------------------------

    def popen(
        self,
        command: str | Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        pty: bool = False,
    ) -> Process:
        """Starts a command as root; a string goes through sh. Input and output are the caller's to handle."""
        argv = ["sh", "-c", command] if isinstance(command, str) else list(command)
        return self.machine.link.start(argv, env=dict(env or {}), cwd=cwd, pty=pty)

    def run(
        self,
        command: str | Sequence[str],
        *,
        check: bool = True,
        timeout: float = 120,
        input: str | bytes | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> Result:
        """Runs a command as root to its end. CommandError on a status other than 0, unless check=False."""
        process = self.popen(command, env=env, cwd=cwd)
        if input is not None:
            process.write(input.encode() if isinstance(input, str) else input)
        process.close_input()
        try:
            status, out, err = process.wait(timeout)
        except TimeoutError:
            process.signal(9)
            raise
        except ChannelError as error:
            raise ChannelError(f"{error}; the end of its console:\n{self.console()}") from None
        words = command if isinstance(command, str) else " ".join(command)
        result = Result(words, status, out.decode(errors="replace"), err.decode(errors="replace"))
        if check and status:
            raise CommandError(result)
        return result

    def stream(
        self,
        command: str | Sequence[str],
        *,
        timeout: float | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Iterator[tuple[str, bytes]]:
        """Runs a command and gives ("stdout" | "stderr", bytes) as they come, last ("status", b"0")."""
        process = self.popen(command, env=env)
        process.close_input()
        for kind, data in process.events(timeout):
            yield ("stdout" if kind == wire.OUT else "stderr"), data
        yield "status", str(process.status).encode()

    def put(self, path: str, data: bytes | str, mode: int = 0o644) -> None:
        """Writes a file in the guest; it appears whole, its folder is made if need be."""
        self.machine.link.put(path, data.encode() if isinstance(data, str) else data, mode)

    def get(self, path: str) -> bytes:
        """Reads a file of the guest."""
        return self.machine.link.get(path)


def _copy(origin: Path, folder: Path) -> Path:
    for name in ("disk.qcow2", "console"):
        run(["cp", "--reflink=auto", "--sparse=always", origin / name, folder / name])
    return folder / "disk.qcow2"


def _root_image() -> Path:
    return image([kernels.kernel(name) for name in kernels.NAMES])


def _booted(spec: Spec) -> Path:
    """The folder with the disk of a guest of this kind that has just booted, snapshot `ready`."""
    root = _root_image()
    return cache.made("booted", spec.key(root.parent.name, 4), lambda into: _boot(spec, root, into), keep=6)


def _boot(spec: Spec, root: Path, into: Path) -> None:
    disk = into / "disk.qcow2"
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", root, "-F", "raw", disk])
    with step(f"booting kernel {spec.kernel.release}{' with icount' if spec.icount else ''}"):
        machine = Machine(spec, disk, shares.empty())
        try:
            _settle(machine)
            _tidy(machine)
            with machine.link.quiet():
                machine.save(READY)
            machine.quit()
        except BaseException as error:
            console = machine.console()
            machine.kill()
            if isinstance(error, ChannelError):
                raise ChannelError(f"{error}; the end of its console:\n{console}") from None
            raise


def _settle(machine: Machine) -> None:
    """Until all that a boot starts has started, or failed."""
    machine.link.hello(BOOT_SECONDS)
    machine.link.set_clock()
    settle = machine.link.start(["systemctl", "is-system-running", "--wait"], env=None, cwd=None, pty=False)
    _, out, _ = settle.wait(BOOT_SECONDS)
    if out.decode().strip() not in {"running", "degraded"}:
        raise ChannelError(f"the guest is {out.decode().strip() or 'not up'}")


def _tidy(machine: Machine) -> None:
    """Nothing half written, so that a restored guest has the disk to itself."""
    status, _, errors = machine.link.start(["sync"], env=None, cwd=None, pty=False).wait(ANSWER_SECONDS)
    if status:
        note(errors.decode())


def _installed(spec: Spec) -> Path:
    """As `_booted`, with Menshen's own files put in."""
    origin, tar = _booted(spec), layer()
    key = cache.digest(origin.name, tar.parent.name, 2)
    return cache.made("installed", key, lambda into: _install(spec, origin, tar, into), keep=6, seconds=120)


def _install(spec: Spec, origin: Path, tar: Path, into: Path) -> None:
    with step(f"putting Menshen into the guest with kernel {spec.kernel.name}"):
        machine = Machine(spec, _copy(origin, into), shares.empty(), paused=True)
        try:
            machine.load(READY)
            machine.resume()
            machine.link.hello(ANSWER_SECONDS)
            machine.link.set_clock()
            script = "tar -xpf - -C / --no-same-owner && systemctl daemon-reload && sync"
            unpack = machine.link.start(["sh", "-c", script], env=None, cwd=None, pty=False)
            unpack.write(tar.read_bytes())
            unpack.close_input()
            status, _, errors = unpack.wait(BOOT_SECONDS)
            if status:
                raise ChannelError(f"Menshen could not be put in: {errors.decode(errors='replace')}")
            with machine.link.quiet():
                machine.save(READY)
            machine.quit()
        finally:
            machine.kill()
