"""The two image slots: the inactive one is filled whole, then the gate flips one index."""

from __future__ import annotations

import struct
from typing import Final

from bpf_lsm.control import Control
from bpf_lsm.errors import GateError
from bpf_lsm.grace import Grace
from bpf_lsm.kernel_map import KernelMap
from bpf_lsm.layout import IMAGE_SLACK, NO_IMAGE

_INDEX: Final = struct.Struct("=I")
# The beginning of struct image_header: magic, version, generation, hash, size.
HEAD: Final = struct.Struct("<IIQ32sI")
_GENERATION: Final = struct.Struct("<Q")
GENERATION_AT: Final = 8
MAGIC: Final = 0x48534E4D
VERSION: Final = 2


class Slots:
    """Takes images and reads back the one in force."""

    def __init__(self, slots: KernelMap, control: Control, grace: Grace) -> None:
        self._map = slots
        self._control = control
        self._grace = grace
        self._generations: dict[
            int, int
        ] = {}  # by slot, as last read or written: reading one copies all of it
        self.capacity = slots.shape.value_size - IMAGE_SLACK

    def fill(self, image: bytes) -> int:
        """Write an image, with the next generation in its header, to the slot that is not in force."""
        self._check(image)
        active = self._control["active"]
        slot = 0 if active == NO_IMAGE else 1 - active
        filled = bytearray(self._map.shape.value_size)
        filled[: len(image)] = image
        # Never one that was used before: tasks remember what they looked up by it.
        generation = 1 + max(self._generation(0), self._generation(1))
        _GENERATION.pack_into(filled, GENERATION_AT, generation)
        # This slot was in force before the last flip: a program may still be reading it.
        self._grace.wait()
        self._generations.pop(slot)
        self._map.update(_INDEX.pack(slot), filled)
        self._generations[slot] = generation
        return slot

    def image(self) -> bytes | None:
        """The image in force."""
        active = self._control["active"]
        if active == NO_IMAGE:
            return None
        held = self._held(active)
        return held[: HEAD.unpack_from(held)[4]]

    @property
    def generation(self) -> int:
        """Of the image in force; 0 if there is none."""
        active = self._control["active"]
        return 0 if active == NO_IMAGE else self._generation(active)

    def _held(self, slot: int) -> bytes:
        return self._map.lookup(_INDEX.pack(slot)) or bytes(self._map.shape.value_size)

    def _generation(self, slot: int) -> int:
        if slot not in self._generations:
            self._generations[slot] = _GENERATION.unpack_from(self._held(slot), GENERATION_AT)[0]
        return self._generations[slot]

    def _check(self, image: bytes) -> None:
        if len(image) > self.capacity:
            raise GateError(
                f"the image has {len(image)} bytes and the gate has room for {self.capacity}",
                hint="load the gate with a larger capacity (the next power of two), or use fewer patterns",
            )
        magic, version, _, _, size = HEAD.unpack_from(image.ljust(HEAD.size, b"\0"))
        if magic != MAGIC or size != len(image):
            raise GateError("that is no whole policy image")
        if version != VERSION:
            raise GateError(
                f"the image has layout version {version}, the gate reads {VERSION}",
                hint="compile the policies with the same release as the gate",
            )
