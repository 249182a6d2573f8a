"""The two image slots: the inactive one is filled, then one index is flipped."""

from __future__ import annotations

import struct
from typing import Final

from bpf_lsm import libbpf
from bpf_lsm.control import Control
from bpf_lsm.errors import GateError
from bpf_lsm.grace import Grace
from bpf_lsm.kernel_map import KernelMap
from bpf_lsm.layout import IMAGE_SLACK, NO_IMAGE

_INDEX: Final = struct.Struct("=I")
# The beginning of struct image_header: magic, version, generation, hash, size.
_HEAD: Final = struct.Struct("<IIQ32sI")
_GENERATION: Final = struct.Struct("<Q")
_GENERATION_AT: Final = 8
_MAGIC: Final = 0x48534E4D
_VERSION: Final = 1


class Slots:
    """Installs images and reads back the one in force."""

    def __init__(self, slots: KernelMap, control: Control, grace: Grace) -> None:
        self._map = slots
        self._control = control
        self._grace = grace
        self.capacity = slots.shape.value_size - IMAGE_SLACK

    def install(self, image: bytes, activate: int) -> int:
        """Put an image in force; `activate` is the program that flips the index and raises the epoch."""
        self._check(image)
        active = self._control["active"]
        generation = self.generation + 1
        slot = 0 if active == NO_IMAGE else 1 - active
        filled = bytearray(self._map.shape.value_size)
        filled[: len(image)] = image
        _GENERATION.pack_into(filled, _GENERATION_AT, generation)
        # The inactive slot was the active one before the last flip: a program may still be reading it.
        self._grace.wait()
        self._map.update(_INDEX.pack(slot), filled)
        self._activate(slot, activate)
        return generation

    def uninstall(self, activate: int) -> None:
        """No image in force."""
        self._activate(NO_IMAGE, activate)

    def _activate(self, slot: int, activate: int) -> None:
        if result := libbpf.run(activate, _INDEX.pack(slot)):
            raise GateError(f"the image could not be put in force: activate gave {result}")

    def image(self) -> bytes | None:
        """The image in force."""
        active = self._control["active"]
        if active == NO_IMAGE:
            return None
        held = self._map.lookup(_INDEX.pack(active)) or b""
        return held[: _HEAD.unpack_from(held)[4]]

    @property
    def generation(self) -> int:
        """Of the image in force; 0 if there is none."""
        image = self.image()
        return int(_GENERATION.unpack_from(image, _GENERATION_AT)[0]) if image else 0

    def _check(self, image: bytes) -> None:
        if len(image) > self.capacity:
            raise GateError(
                f"the image has {len(image)} bytes and the gate has room for {self.capacity}",
                hint="load the gate with a larger capacity (the next power of two), or use fewer patterns",
            )
        magic, version, _, _, size = _HEAD.unpack_from(image.ljust(_HEAD.size, b"\0"))
        if magic != _MAGIC or size != len(image):
            raise GateError("that is no whole policy image")
        if version != _VERSION:
            raise GateError(
                f"the image has layout version {version}, the gate reads {_VERSION}",
                hint="compile the policies with the same release as the gate",
            )
