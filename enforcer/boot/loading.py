"""Loading the gate as the settings of this host want it: for the agent, and for what starts before it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final

from enforcer import __version__
from enforcer import settings as settings_file
from enforcer.errors import EnforcerError
from enforcer.places import Places
from enforcer.settings import Settings

if TYPE_CHECKING:
    from bpf_lsm.gate import Gate

KERNEL_SWITCH: Final = "menshen=off"
CMDLINE: Final = Path("/proc/cmdline")
OBJECT: Final = "objects/menshen.bpf.o"

log = logging.getLogger("menshen")


def switched_off() -> bool:
    """Whether the kernel's command line wants this host without Menshen; that is told."""
    if KERNEL_SWITCH not in CMDLINE.read_text().split():
        return False
    log.critical("the kernel was started with %s: nothing is enforced", KERNEL_SWITCH)
    return True


def settings_of(places: Places) -> Settings:
    """The agent's settings; the defaults where they cannot be read."""
    try:
        return settings_file.load(places.settings, Settings)
    except EnforcerError as error:
        log.error("%s; the defaults are used", error)  # a typing error must not leave the host open
        return Settings()


def load(settings: Settings, known: int) -> Gate:
    """Attach all programs, with no image in force and room for `known` digests at least.

    GateError if that is not possible.
    """
    import bpf_lsm  # noqa: PLC0415
    from bpf_lsm import gate  # noqa: PLC0415

    if known > settings.catalogue_size:
        log.warning(
            "there are %d programs: catalogue_size is %d and too small", known, settings.catalogue_size
        )
    return gate.Gate.load(
        Path(bpf_lsm.__file__).parent / OBJECT,
        capacity=settings.image_capacity,
        catalogue_size=max(settings.catalogue_size, known),
        version=__version__,
    )
