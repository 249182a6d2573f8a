"""Checks of a host, each by doing what Menshen will do, with what to do about it."""

from __future__ import annotations

import enum
import grp
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from enforcer.errors import EnforcerError
from enforcer.names import AGENT
from enforcer.places import GROUP, Places

MIN_FREE = 64 << 20
INIT_BOTTOM = "etc/initramfs-tools/scripts/init-bottom/menshen"


class Level(enum.StrEnum):
    """How much it matters."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's answer."""

    check: str
    level: Level
    text: str
    remedy: str = ""


Check = Callable[[Places], Iterator[Finding]]


def examine(places: Places) -> Iterator[Finding]:
    """Every check, in the order in which they matter."""
    for check in CHECKS:
        try:
            yield from check(places)
        except Exception as error:  # a check that fails is a finding, not the end of the doctor
            yield Finding(
                check.__name__, Level.FAIL, f"the check itself failed: {error!r}", "please report it"
            )


def root(_places: Places) -> Iterator[Finding]:
    """Whether we may look at all."""
    if os.geteuid() == 0:
        yield Finding("root", Level.OK, "these checks run as root")
    else:
        yield Finding("root", Level.WARN, "not root: some checks cannot tell", "sudo menshen doctor")


def kernel(_places: Places) -> Iterator[Finding]:
    """BPF LSM, types, bpffs; whether it was switched off at boot."""
    from bpf_lsm import host  # noqa: PLC0415

    look = host.look()
    problems = look.problems()
    for problem in problems:
        yield Finding("kernel", Level.FAIL, problem.message, problem.hint)
    if not problems:
        yield Finding("kernel", Level.OK, f"{look.kernel}: BPF LSM is on, types and a bpffs are there")
    if "menshen=off" in Path("/proc/cmdline").read_text().split():
        yield Finding(
            "kernel", Level.WARN, "started with menshen=off: nothing is enforced", "start without it"
        )


def programs(_places: Places) -> Iterator[Finding]:
    """Load every program into the kernel; nothing is attached."""
    import bpf_lsm  # noqa: PLC0415
    from bpf_lsm import gate, probe  # noqa: PLC0415
    from bpf_lsm.errors import GateError  # noqa: PLC0415

    path = Path(bpf_lsm.__file__).parent / "objects/menshen.bpf.o"
    if gate.is_loaded():
        yield Finding("programs", Level.OK, "a gate is loaded and attached: this kernel takes the programs")
        return
    if os.geteuid() != 0:
        yield Finding("programs", Level.WARN, "loading programs needs root", "sudo menshen doctor")
        return
    try:
        verdicts = probe.programs(path)
    except (GateError, OSError) as error:
        yield Finding("programs", Level.FAIL, str(error), "install the wheel again: it brings the objects")
        return
    refused: dict[tuple[bool, str], list[str]] = {}
    for verdict in (one for one in verdicts if not one.loadable):
        refused.setdefault((verdict.optional, verdict.reason), []).append(verdict.section)
    for (optional, reason), sections in refused.items():
        shown = ", ".join(sections[:6]) + (f" and {len(sections) - 6} more" if len(sections) > 6 else "")
        level = Level.WARN if optional else Level.FAIL
        remedy = (
            "rules that need them are refused" if optional else "the gate is all or nothing: it cannot load"
        )
        yield Finding("programs", level, f"{reason}: {shown}", remedy)
    good = sum(one.loadable for one in verdicts)
    if good == len(verdicts):
        yield Finding("programs", Level.OK, f"the kernel takes all {good} programs")


def identities(places: Places) -> Iterator[Finding]:
    """The catalogue, and whether Menshen's own programs are in it."""
    from identity import catalogue_file  # noqa: PLC0415
    from identity.catalogue import Source  # noqa: PLC0415
    from identity.errors import IdentityError  # noqa: PLC0415

    if not places.catalogue.exists():
        yield Finding("identities", Level.FAIL, f"there is no catalogue at {places.catalogue}",
                      "menshen enrol-self; menshen identity enrol --packages")  # fmt: skip
        return
    try:
        catalogue = catalogue_file.load(places.catalogue)
    except IdentityError as error:
        yield Finding("identities", Level.FAIL, str(error), "menshen identity enrol --packages")
        return
    packaged = sum(entry.source is Source.PACKAGE for entry in catalogue)
    if packaged:
        yield Finding("identities", Level.OK, f"{len(catalogue)} programs are known, {packaged} of packages")
    else:
        yield Finding("identities", Level.WARN, "the distribution's own programs have no identity",
                      "menshen identity enrol --packages")  # fmt: skip
    if any(entry.identity == AGENT for entry in catalogue):
        yield Finding("guard", Level.OK, "the agent is known by the digest of its launcher")
    else:
        yield Finding("guard", Level.WARN, "the agent is not in the catalogue: the guard cannot be armed",
                      "menshen enrol-self")  # fmt: skip


def trust(places: Places) -> Iterator[Finding]:
    """The trust roots can be read."""
    from identity import trust_file  # noqa: PLC0415
    from identity.errors import IdentityError  # noqa: PLC0415

    try:
        roots = trust_file.load([places.trust]).roots if places.trust.is_dir() else ()
    except IdentityError as error:
        yield Finding("trust", Level.FAIL, str(error), "mend the trust root: no new signature is believed")
        return
    if roots:
        yield Finding("trust", Level.OK, f"{len(roots)} trust roots: {', '.join(one.name for one in roots)}")
    else:
        yield Finding("trust", Level.WARN, f"no trust root in {places.trust}: no signature is believed",
                      "put a TrustRoot document there: docs/start.md")  # fmt: skip


def policies(places: Places) -> Iterator[Finding]:
    """The policies on disk compile."""
    from enforcer.agent.documents import DocumentStore  # noqa: PLC0415
    from enforcer.agent.language import Language  # noqa: PLC0415

    files = DocumentStore(places.policies, places.pending).read()
    try:
        compiled = Language().compile(files)
    except EnforcerError as error:
        yield Finding(
            "policies", Level.FAIL, str(error), "the last good image stays in force until it is mended"
        )
        return
    for problem in compiled.lockouts:
        yield Finding("policies", Level.WARN, str(problem), "change the policy, if it is not meant so")
    yield Finding("policies", Level.OK, f"{len(compiled.documents)} documents in {len(files)} files compile")


def service(places: Places) -> Iterator[Finding]:
    """Group, unit, room on disk."""
    try:
        grp.getgrnam(GROUP)
        yield Finding("group", Level.OK, f"the group {GROUP} is there")
    except KeyError:
        yield Finding(
            "group", Level.WARN, f"no group {GROUP}: only root can read", f"groupadd --system {GROUP}"
        )
    from enforcer.boot.run import WANTED  # noqa: PLC0415

    if (places.root / WANTED).is_symlink():
        yield Finding("service", Level.OK, "the agent starts at boot")
    else:
        yield Finding("service", Level.WARN, "the agent does not start at boot", "systemctl enable menshen")
    yield from _early(places)
    folder = next((one for one in (places.log, *places.log.parents) if one.is_dir()), Path("/"))
    free = shutil.disk_usage(folder).free
    if free < MIN_FREE:
        yield Finding("disk", Level.WARN, f"{folder} has {free >> 20} MiB left for logs", "make room")
    else:
        yield Finding("disk", Level.OK, f"{folder} has {free >> 20} MiB left")


def _early(places: Places) -> Iterator[Finding]:
    from enforcer.boot import beginning  # noqa: PLC0415

    wants = places.root / "etc/systemd/system/sysinit.target.wants/menshen-early.service"
    if (begun := beginning.noted(places.beginning)) is not None:
        yield Finding("boot", Level.OK, str(begun))
    if wants.is_symlink() or (places.root / INIT_BOTTOM).exists():
        yield Finding("early", Level.OK, "the last image is put in force early at boot")
    else:
        yield Finding("early", Level.WARN, "until the agent has started, nothing is enforced at boot",
                      "systemctl enable menshen-early")  # fmt: skip


CHECKS: tuple[Check, ...] = (root, kernel, programs, identities, trust, policies, service)
