"""The process `menshen-early`: the image that was in force last is in force again, before the agent can be.

What the agent does besides takes time and is left to it: compiling, searching for signed programs, the guard.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Final

from enforcer.boot import beginning, loading
from enforcer.boot.beginning import Stage
from enforcer.errors import EnforcerError
from enforcer.names import AGENT
from enforcer.places import Places
from enforcer.serving.process import log_to_journal

WANTED: Final = "etc/systemd/system/multi-user.target.wants/menshen.service"
"""There while the agent is enabled."""

log = logging.getLogger("menshen.early")


def main() -> None:
    """The entry of the script menshen-early: `init` says that process 1 waits for us."""
    if sys.argv[1:] not in ([], ["init"]):
        sys.exit("menshen-early takes no arguments: menshen-early.service starts it")
    sys.exit(run(Path("/"), Stage.INITRAMFS if sys.argv[1:] else Stage.UNIT))


def run(root: Path, stage: Stage) -> int:
    """Put the last image in force; 0 also where there is nothing to do. The boot goes on in any case."""
    log_to_journal()
    if loading.switched_off():
        return 0
    from bpf_lsm import gate  # noqa: PLC0415
    from bpf_lsm.errors import GateError  # noqa: PLC0415

    places = Places(root)
    try:
        if gate.is_loaded():
            log.info("enforcement is on already")
            return 0
        if stage is Stage.INITRAMFS and not (root / WANTED).is_symlink():
            log.warning("the agent does not start at this boot, so nothing is enforced")
            return 0
        image = places.last_good.read_bytes()
        _check(root, image, stage)
        _begin(places, image, stage)
    except FileNotFoundError as error:
        log.warning("nothing to enforce yet: there is no %s", error.filename)
    except (EnforcerError, GateError, OSError) as error:
        log.critical("the last image is not in force yet; the agent will see to it: %s", error)
        return 1
    return 0


def _check(root: Path, image: bytes, stage: Stage) -> None:
    """EnforcerError where the system, with this image in force, could not mount what it has to."""
    if stage is not Stage.INITRAMFS:
        return
    from enforcer.boot import mounts  # noqa: PLC0415

    if refused := mounts.refused(image, mounts.planned(root)):
        told = ", ".join(f"{place} ({rule})" for place, rule in refused)
        raise EnforcerError(
            f"a Protection would refuse what is yet to be mounted: {told}",
            "put these folders on the root file system, or leave the start to menshen-early.service",
        )


def _begin(places: Places, image: bytes, stage: Stage) -> None:
    from enforcer import certificates  # noqa: PLC0415
    from enforcer.agent import aliases  # noqa: PLC0415
    from enforcer.agent.credentials import Credentials  # noqa: PLC0415
    from enforcer.agent.language import Language  # noqa: PLC0415
    from enforcer.agent.tasks import Executables  # noqa: PLC0415
    from identity.names import identity_id  # noqa: PLC0415

    settings = loading.settings_of(places)
    language = Language()
    compiled = language.read(image)
    credentials, executables = Credentials(places, settings.scan), Executables()
    for problem in credentials.load(search=False):
        log.warning("%s", problem)
    executables.look(credentials.lookup)
    names = aliases.search(*language.aliases(compiled.image))
    gate = loading.load(settings, len(credentials.catalogue))
    try:
        credentials.push(gate)
        found = executables.look(credentials.lookup)
        ours = {os.getpid(), *([1] if stage is Stage.INITRAMFS else [])}
        running = gate.adopt_tasks(found.by_file, dict.fromkeys(ours, identity_id(AGENT)))
        gate.set_revoked(certificates.read(places.certificates, places.trust).revoked)
        begun = beginning.measure(stage, running)
        beginning.note(begun, places.beginning)
        gate.install(compiled.image, names)
    except BaseException:
        gate.off()
        raise
    gate.close()
    log.info("%s: %s", compiled.hash, begun)
    if found.unidentified:
        log.warning("running without an identity: %s", ", ".join(sorted(found.unidentified)[:20]))
