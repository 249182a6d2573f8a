"""One QEMU process: its command line, sockets and console. Software emulation only, never /dev/kvm."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.guest import cache, wire
from tests.guest.channel import Link
from tests.guest.host import HostError, environment
from tests.guest.initramfs import initramfs
from tests.guest.kernels import Kernel
from tests.guest.qmp import Qmp, QmpError

LSM = "landlock,lockdown,yama,integrity,apparmor,bpf"
SHARE_SIZE = 8 << 30
QEMU = "qemu-system-x86_64"


@dataclass(frozen=True)
class Spec:
    """A kind of machine. Two guests of one Spec and one image can use each other's snapshots."""

    kernel: Kernel
    lsm: str = LSM
    cmdline: str = ""
    memory: int = 1024
    cpus: int = 2
    icount: bool = False

    def append(self) -> str:
        """The kernel's command line."""
        words = [
            f"console=ttyS0 quiet loglevel=5 oops=panic panic=-1 lsm={self.lsm} systemd.show_status=false"
        ]
        words.append("net.ifnames=0 systemd.getty_auto=0 no_timer_check tsc=reliable")
        if self.icount:
            words.append("norandmaps nokaslr audit=0")
        if self.cmdline:
            words.append(self.cmdline)
        return " ".join(words)

    def hardware(self) -> list[str]:
        """What a snapshot must find as it was when it is restored."""
        cpus = 1 if self.icount else self.cpus
        # Without AVX2: QEMU 7.2 does not hold gathers to their masks, and numpy's argsort of an array that
        # ends with its page reads the next one (SIGSEGV).
        words = ["-machine", "pc,usb=off,vmport=off,hpet=off", "-cpu", "max,-erms,-fsrm,-avx2"]
        # One thread for all CPUs: with one each, QEMU 7.2 can miss that another CPU patches kernel text,
        # which BPF trampolines do (seen once on 7.3: "Oops: int3" in a hook).
        words += ["-accel", "tcg,thread=single"]
        words += ["-smp", str(cpus), "-m", str(self.memory)]
        if self.icount:
            words += ["-icount", "shift=0,sleep=off"]
        words += ["-device", "virtio-blk-pci,drive=root", "-device", "virtio-blk-pci,drive=share"]
        words += ["-device", "virtio-serial-pci", "-device", f"virtserialport,chardev=agent,name={wire.PORT}"]
        words += [
            "-object",
            "rng-random,id=random,filename=/dev/urandom",
            "-device",
            "virtio-rng-pci,rng=random",
        ]
        words += ["-device", "virtio-net-pci,netdev=net,romfile="]
        return words

    def key(self, *more: object) -> str:
        first = initramfs(self.kernel).parent.name
        return cache.digest(self.kernel.release, first, self.append(), self.hardware(), *more)


class Machine:
    """QEMU at work, in a folder of its own that holds the disk and the console."""

    def __init__(
        self,
        spec: Spec,
        disk: Path,
        share: Path,
        *,
        forward: Mapping[int, int] | None = None,
        paused: bool = False,
        first: tuple[Path, str] | None = None,
    ) -> None:
        """`first`: another initramfs than ours, and the words that it needs on the kernel's command line."""
        self.spec = spec
        self.folder = disk.parent
        self.console_file = self.folder / "console"
        self._sockets = Path(tempfile.mkdtemp(prefix="menshen-guest-"))
        self._errors = self.folder / "qemu"
        forwards = "".join(
            f",hostfwd=tcp:127.0.0.1:{ours}-:{theirs}" for ours, theirs in (forward or {}).items()
        )
        words = [QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", *spec.hardware()]
        archive, more = first or (initramfs(spec.kernel), "")
        words += ["-kernel", str(spec.kernel.vmlinuz), "-initrd", str(archive)]
        words += ["-append", f"{spec.append()} {more}".strip()]
        words += ["-drive", f"file={disk},if=none,id=root,format=qcow2,cache=unsafe,discard=unmap"]
        words += ["-drive", f"file={share},if=none,id=share,format=raw,readonly=on"]
        words += ["-netdev", f"user,id=net,restrict=on{forwards}"]
        words += [
            "-chardev",
            f"file,id=console,path={self.console_file},append=on",
            "-serial",
            "chardev:console",
        ]
        words += ["-chardev", f"socket,id=agent,path={self._sockets}/agent,server=on,wait=off"]
        words += ["-qmp", f"unix:{self._sockets}/qmp,server=on,wait=off"]
        if paused:
            words.append("-S")
        try:
            with self._errors.open("wb") as errors:
                self._process = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=errors,
                    stderr=errors,
                    env=environment(),
                    start_new_session=True,
                )
        except FileNotFoundError as error:
            raise HostError(f"{QEMU} is not installed here: run `make setup`") from error
        (self.folder / "pid").write_text(str(self._process.pid))
        try:
            self._wait_for(self._sockets / "qmp")
            self.qmp = Qmp(self._sockets / "qmp")
            self.link = Link(self._sockets / "agent")
        except BaseException:
            self.kill()
            raise

    def _wait_for(self, path: Path) -> None:
        deadline = time.monotonic() + 30
        while not _listens(path):
            if self._process.poll() is not None:
                raise HostError(
                    f"QEMU ended with {self._process.returncode}: {self._errors.read_text()[-2000:]}"
                )
            if time.monotonic() > deadline:
                raise HostError("QEMU did not open its control socket within 30 s")
            time.sleep(0.01)

    @property
    def alive(self) -> bool:
        if self.link.gone:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(2)
        return self._process.poll() is None

    def console(self, lines: int = 80) -> str:
        """The last lines that the kernel and systemd wrote to the serial console."""
        try:
            text = self.console_file.read_text(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.replace("\r", "").splitlines()[-lines:])

    def save(self, name: str) -> None:
        self._snapshot("savevm", name)

    def load(self, name: str) -> None:
        self._snapshot("loadvm", name)

    def _snapshot(self, command: str, name: str) -> None:
        answer = self.qmp.monitor(f"{command} {name}")
        if answer:
            raise QmpError(f"{command} {name}: {answer}")

    def resume(self) -> None:
        self.qmp.execute("cont")

    def quit(self) -> None:
        """Ends QEMU in order, so that the disk file is whole."""
        with contextlib.suppress(QmpError, OSError):
            self.qmp.execute("quit")
        self._process.wait(30)
        self._close()

    def off(self, seconds: float) -> None:
        """Waits until the guest, which was told to, has powered itself off."""
        self._process.wait(seconds)
        self._close()

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(30)
        self._close()

    def _close(self) -> None:
        for name in ("link", "qmp"):
            if hasattr(self, name):
                getattr(self, name).close()
        shutil.rmtree(self._sockets, ignore_errors=True)


def workplace() -> Path:
    """A new folder for a running guest; folders of processes that are gone are taken away first."""
    runs = cache.root() / "run"
    runs.mkdir(exist_ok=True)
    for old in runs.iterdir():
        owner = int(old.name.split("-")[0])
        if not Path(f"/proc/{owner}").exists():
            _end_left_over(old)
            shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=runs))


def _end_left_over(folder: Path) -> None:
    """A QEMU whose parent was killed: known by its own folder on its command line."""
    with contextlib.suppress(OSError, ValueError):
        pid = int((folder / "pid").read_text())
        if str(folder).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)


def _listens(path: Path) -> bool:
    """Whether somebody listens there; QEMU binds a socket some time before that. Asking connects nobody."""
    listening = 0x10000  # SO_ACCEPTCON
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        words = line.split()
        if words[-1] == str(path) and int(words[3], 16) & listening:
            return True
    return False
