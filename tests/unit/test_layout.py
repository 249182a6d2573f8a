"""C and Python agree on every byte: the layouts of bpf_lsm.layout and policies.image against BTF."""

from __future__ import annotations

import ctypes
import enum
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bpf_lsm import collection, generate, layout, observation, slots
from bpf_lsm.btf import Btf, Struct
from policies import image
from policies import layout as image_layout
from tests.unit.bpf_lsm.compiling import OBJECT, SOURCES, build

IMAGE_STRUCTS = {
    "image_header": image_layout.HEADER,
    "image_row": image_layout.ROW,
    "image_target": image_layout.TARGET,
    "image_identity": image_layout.IDENTITY,
    "image_cell": image_layout.CELL,
    "image_step": image_layout.STEP,
    "image_sequence": image_layout.SEQUENCE,
    "image_sequences": image_layout.SEQUENCES,
    "image_name": image_layout.NAME,
}
WATCH_STRUCTS = collection.STRUCTS | {
    "observation": observation.OBSERVATION,
    "string_record": observation.STRING,
}
STRUCTS: dict[str, Any] = {**layout.STRUCTS} | IMAGE_STRUCTS | WATCH_STRUCTS

# C enumeration -> (Python enumeration, the prefix in C, members that only C has)
ENUMS: dict[str, tuple[type[enum.IntEnum] | type[enum.IntFlag], str, set[str]]] = {
    "operation": (layout.Operation, "OP_", {"OP_COUNT"}),
    "event_kind": (layout.EventKind, "EVENT_", set()),
    "event_flag": (layout.EventFlag, "EVENT_", set()),
    "label_flag": (layout.LabelFlag, "LABEL_", set()),
    "own_by": (layout.OwnBy, "OWN_", set()),
    "counter": (layout.Counter, "COUNT_", {"COUNT_COUNT"}),
    "right": (image.Right, "RIGHT_", {"RIGHT_COUNT"}),
    "builtin_rule": (image.Builtin, "RULE_", {"RULE_BUILTIN_COUNT"}),
    "row_flag": (image.RowFlag, "ROW_", set()),
    "step_flag": (image.StepFlag, "STEP_", set()),
    "special": (image.Special, "SPECIAL_", {"SPECIAL_COUNT"}),
    "observation_type": (observation.Type, "WATCH_", set()),
    "observation_flag": (observation.Flag, "WATCH_", set()),
    "observation_tally": (observation.Tally, "TALLY_", set()),
    "watch_meter": (collection.Meter, "METER_", {"METER_COUNT"}),
}

CONSTANTS = {
    "IMAGE_MAGIC": image.MAGIC,
    "IMAGE_VERSION": image.VERSION,
    "SYM_DEFAULT": image.SYM_DEFAULT,
    "SYM_BYTE": image.SYM_BYTE,
    "SYM_CLASS": image.SYM_CLASS,
    "SYM_SUBTREE": image.SYM_SUBTREE,
    "SYM_REST": image.SYM_REST,
    "SYM_STOPS": image.SYM_STOPS,
    "SYM_BEHIND": image.SYM_BEHIND,
    "STATE_SINK": image.STATE_SINK,
    "STATE_SHORTCUT": image.STATE_SHORTCUT,
    "STATE_NAMES": image.STATE_NAMES,
    "SHORT_NAME": image.SHORT_NAME,
    "ENDPOINT_V4": image.ENDPOINT_V4,
    "ENDPOINT_V6": image.ENDPOINT_V6,
    "ROW_UNCONFINED": image.ROW_UNCONFINED,
    "ROW_UNIDENTIFIED": image.ROW_UNIDENTIFIED,
    "ROW_FIRST": image.ROW_FIRST,
    "EVENT_PATH_MAX": layout.PATH_MAX,
    "READ_WORDS": collection.READ_WORDS,
    "EXE_KEY_BYTES": collection.EXE_KEY_BYTES,
    "WATCH_TYPES": collection.TYPES,
    "MAX_SEQUENCES": image.MAX_SEQUENCES,
    "MAX_SLOTS": image.MAX_SLOTS,
    "MAX_STEPS": image.MAX_STEPS,
    "MAX_COUNT": image.MAX_COUNT,
}


def test_the_operations_of_steps_are_those_of_the_hooks() -> None:
    for member in image.Operation:
        if member is not image.Operation.ANY:
            assert int(layout.Operation[member.name]) == int(member)


@pytest.fixture(scope="module")
def headers(tmp_path_factory: pytest.TempPathFactory) -> Btf:
    """The types of the headers as they are in the source tree."""
    return compiled(SOURCES, tmp_path_factory.mktemp("headers"))


def compiled(sources: Path, folder: Path) -> Btf:
    lines = [
        '#include "maps.h"',
        '#include "observation.h"',
        '#include "watch/maps.h"',
        "enum constants {",
        *(f"CONST_{name} = {name}," for name in CONSTANTS),
        "};",
    ]
    lines += [f"struct {name} struct_{name};" for name in STRUCTS]
    lines += [f"enum {name} enum_{name};" for name in [*ENUMS, "constants"]]
    source = folder / "layout.bpf.c"
    source.write_text("\n".join(lines))
    return Btf(build(source, folder / "layout.bpf.o", sources=sources))


Place = tuple[int, int, int]
"""Where a field begins, its size, and that of one element; the last 0 for characters."""


def fields_of(struct: Any) -> tuple[int, dict[str, Place]]:
    """The size of a numpy dtype or a ctypes structure, and its fields."""
    if isinstance(struct, np.dtype):
        assert struct.fields is not None
        places = {
            name: (offset, base.itemsize, base.base.itemsize * (base.base.kind != "S"))
            for name, (base, offset, *_) in struct.fields.items()
        }
        return struct.itemsize, places
    places = {}
    for name, kind in struct._fields_:
        element = kind._type_ if issubclass(kind, ctypes.Array) else kind
        places[name] = (*layout.place(struct, name), ctypes.sizeof(element) * (element is not ctypes.c_char))
    return ctypes.sizeof(struct), places


def differences(name: str, there: Struct) -> list[str]:
    """What differs between a C struct and ours, as sentences."""
    size, ours = fields_of(STRUCTS[name])
    found = []
    if size != there.size:
        found.append(f"struct {name} has {there.size} bytes, ours {size}")
    theirs = {field.name: field for field in there.fields}
    for missing in ours.keys() ^ theirs.keys():
        found.append(f"struct {name}: only one side has {missing}")
    for field in ours.keys() & theirs.keys():
        c = theirs[field]
        offset, size, element = ours[field]
        if (offset, size) != (c.offset, c.size * c.count):
            found.append(
                f"struct {name}.{field}: C has {c.size * c.count} bytes at {c.offset}, "
                f"Python {size} at {offset}"
            )
        elif element not in (0, c.size):
            found.append(f"struct {name}.{field}: elements of {c.size} bytes in C")
    return found


@pytest.mark.parametrize("name", STRUCTS)
def test_a_struct_is_the_same_on_both_sides(headers: Btf, name: str) -> None:
    assert differences(name, headers.structs()[name]) == []


@pytest.mark.parametrize("name", ENUMS)
def test_an_enumeration_has_the_same_members_on_both_sides(headers: Btf, name: str) -> None:
    ours, prefix, theirs_only = ENUMS[name]
    there = {
        member.removeprefix(prefix): value
        for member, value in headers.enums()[name].items()
        if member not in theirs_only
    }
    assert {member.name: int(member) for member in ours} == there


@pytest.mark.parametrize("name", CONSTANTS)
def test_a_constant_is_the_same_on_both_sides(headers: Btf, name: str) -> None:
    assert headers.enums()["constants"][f"CONST_{name}"] & 0xFFFFFFFF == CONSTANTS[name]


@pytest.mark.parametrize("path", generate.OUTPUTS, ids=lambda path: path.name)
def test_what_is_made_from_the_definition_of_events_is_up_to_date(path: Path) -> None:
    assert path.read_text() == generate.OUTPUTS[path](), "python -m bpf_lsm.generate"


@pytest.mark.parametrize(
    ("file", "structs"), [(OBJECT, layout.STRUCTS), (OBJECT.with_name("watch.bpf.o"), collection.STRUCTS)]
)
def test_an_object_has_the_layouts_that_we_use(file: Path, structs: dict[str, object]) -> None:
    if not file.exists():
        pytest.skip("the object is not built: make bpf")
    there = Btf(file).structs()
    assert set(structs) <= set(there)
    assert [text for name in STRUCTS if name in there for text in differences(name, there[name])] == []


def test_what_the_gate_reads_of_an_image_is_where_the_image_has_it() -> None:
    fields = image_layout.HEADER.fields
    assert fields is not None
    assert slots.MAGIC == image.MAGIC
    assert slots.VERSION == image.VERSION
    assert fields["generation"][1] == slots.GENERATION_AT == image.GENERATION_AT
    assert fields["hash"][1] + fields["hash"][0].itemsize == image.HASH_END
    header: Any = np.zeros(1, image_layout.HEADER)
    header["magic"], header["version"], header["generation"], header["size"] = 1, 2, 3, 4
    magic, version, generation, _, size = slots.HEAD.unpack_from(header.tobytes())
    assert (magic, version, generation, size) == (1, 2, 3, 4)


MOVES = [
    ("event.h", "\t__u32 uid;\n\t__u32 login_uid;\n", "\t__u32 login_uid;\n\t__u32 uid;\n", "event"),
    ("event.h", "\t__u8 protocol;", "\t__u16 protocol;", "event"),
    ("event.h", "\tchar comm[16];", "\tchar comm[8];\n\tchar more[8];", "event"),
    ("image.h", "\t__u64 special_enforce;", "\t__u32 special_enforce;\n\t__u32 hole;", "image_row"),
    ("maps.h", "\t__u64 epoch;", "\t__u64 epochs;", "control"),
    ("label.h", "\t__u64 session;", "\t__u32 session;", "label"),
    ("watch/maps.h", "\t__u64 vital[2];", "\t__u64 vital[3];", "watch_control"),
]


@pytest.mark.parametrize(("header", "before", "after", "name"), MOVES)
def test_a_field_that_moves_on_one_side_is_noticed(
    tmp_path: Path, header: str, before: str, after: str, name: str
) -> None:
    sources = tmp_path / "src"
    shutil.copytree(SOURCES, sources)
    text = (sources / header).read_text()
    assert before in text, f"{header} no longer has what this test moves"
    (sources / header).write_text(text.replace(before, after, 1))
    assert differences(name, compiled(sources, tmp_path).structs()[name])


@pytest.mark.parametrize(
    ("before", "after", "names"),
    [
        (
            "\t__u64 denied;\n\t__u64 would_deny;",
            "\t__u64 would_deny;\n\t__u64 denied;",
            {"rule_tallies", "row_tallies"},
        ),
        ("\t__u32 moving;", "\t__u32 moves;", {"control"}),
    ],
)
def test_a_moved_key_or_value_changes_what_is_recorded_of_a_map(
    tmp_path: Path, headers: Btf, before: str, after: str, names: set[str]
) -> None:
    sources = tmp_path / "src"
    shutil.copytree(SOURCES, sources)
    text = (sources / "maps.h").read_text()
    assert before in text, "maps.h no longer has what this test moves"
    (sources / "maps.h").write_text(text.replace(before, after))
    moved = compiled(sources, tmp_path).maps()
    assert {name for name, text in headers.maps().items() if moved[name] != text} == names


@pytest.mark.parametrize("device", [0, 0x803, 0x10302, 0xFFF0_0FFF, 0x1_0000_0FF0_1234])
def test_device_numbers_survive_the_way_to_the_kernel_and_back(device: int) -> None:
    assert layout.user_device(layout.kernel_device(device)) == device


def test_an_operation_of_a_newer_object_stays_a_number() -> None:
    assert layout.Operation(999) == 999
    assert layout.Operation(999).word == "unknown-999"
    assert layout.Operation.MOVE_MOUNT.word == "move-mount"
