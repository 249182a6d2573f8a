"""The bytes of a policy image, as numpy types.

They are those of `bpf_lsm/src/image.h`; `tests/unit/test_layout.py` compares the two through BTF.
All numbers are little endian; offsets are bytes from the start of the image. See docs/internals.md.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from policies.image import MAX_SEQUENCES, MAX_SLOTS

HEADER: Final = np.dtype(
    [
        ("magic", "<u4"),
        ("version", "<u4"),
        ("generation", "<u8"),
        ("hash", "u1", (32,)),
        ("size", "<u4"),
        ("start", "<u4"),
        ("n_rows", "<u4"),
        ("n_classes", "<u4"),
        ("n_cells", "<u4"),
        ("n_rules", "<u4"),
        ("n_identities", "<u4"),
        ("n_targets", "<u4"),
        ("off_rows", "<u4"),
        ("off_grid", "<u4"),
        ("off_cells", "<u4"),
        ("off_identities", "<u4"),
        ("off_targets", "<u4"),
        ("off_meta", "<u4"),
        ("meta_size", "<u4"),
        ("flags", "<u4"),
        ("off_sequences", "<u4"),
        ("off_slots", "<u4"),
        ("sequence_rights", "<u4"),
        ("off_names", "<u4"),
        ("names_mask", "<u4"),
        ("reserved", "u1", (60,)),
    ]
)

ROW: Final = np.dtype(
    [
        ("identity", "<u8"),
        ("flags", "<u4"),
        ("watch", "<u4"),
        ("special", "<u8"),
        ("special_enforce", "<u8"),
        ("capabilities", "<u8"),
        ("capabilities_enforce", "<u8"),
        ("special_rule", "<u4"),
        ("capabilities_rule", "<u4"),
        ("jit_rule", "<u4"),
        ("default_rule", "<u4"),
        ("targets", "<u4"),
        ("n_targets", "<u4"),
        ("reserved", "u1", (56,)),
    ]
)

TARGET: Final = np.dtype([("identity", "<u8"), ("special", "<u8")])

IDENTITY: Final = np.dtype([("identity", "<u8"), ("row", "<u4"), ("reserved", "<u4")])

CELL: Final = np.dtype(
    [
        ("allow", "<u4"),
        ("enforce", "<u4"),
        ("denied", "<u4"),
        ("any", "<u4"),
        ("foreign", "<u4"),
        ("reserved", "<u4"),
        ("rule", "<u4", (16,)),
        ("padding", "u1", (8,)),
    ]
)

STEP: Final = np.dtype(
    [
        ("within", "<u8"),
        ("next_within", "<u8"),
        ("sequence", "u1"),
        ("step", "u1"),
        ("count", "u1"),
        ("flags", "u1"),
        ("operation", "<u4"),
    ]
)

SEQUENCE: Final = np.dtype([("id", "<u8"), ("within", "<u8"), ("rule", "<u4"), ("n_steps", "<u4")])

SEQUENCES: Final = np.dtype(
    [
        ("n_sequences", "<u4"),
        ("n_slots", "<u4"),
        ("unidentified", "<u8"),
        ("by_right", "<u8", (16,)),
        ("steps", STEP, (MAX_SLOTS,)),
        ("sequences", SEQUENCE, (MAX_SEQUENCES,)),
    ]
)
"""Of an image with sequences that block. A slot is a step; `by_right`, `unidentified` are sets of slots."""

ENTRY: Final = np.dtype([("owner", "<u4"), ("next", "<u4")])

NAME: Final = np.dtype([("low", "<u8"), ("high", "<u8"), ("state", "<u4"), ("next", "<u4")])
