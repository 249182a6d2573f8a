"""Writes what is made from bpf_lsm.observation: the C header and the page about events.

python -m bpf_lsm.generate           writes both
python -m bpf_lsm.generate --check   ends 1 if one of them lags behind
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bpf_lsm import observation as watch

REPOSITORY: Final = Path(__file__).resolve().parents[1]
C_TYPES: Final = {"u1": "__u8", "u2": "__u16", "u4": "__u32", "u8": "__u64", "i4": "__s32"}


def header() -> str:
    """bpf_lsm/src/observation.h."""
    return "\n".join(
        [
            "/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */",
            "/* Made from bpf_lsm/observation.py by `python -m bpf_lsm.generate`: change it there. */",
            "#ifndef MENSHEN_OBSERVATION_H",
            "#define MENSHEN_OBSERVATION_H",
            "",
            "/* clang-format off */",
            *(f"#define {name} {getattr(watch, name)}" for name in _CONSTANTS),
            "",
            *_enum("observation_type", "WATCH", {each.name: each.value for each in watch.Type}),
            f"#define WATCH_TYPES {max(watch.Type) + 1}",
            "",
            *_enum("observation_flag", "WATCH", {each.name or "": each.value for each in watch.Flag}),
            "",
            *_enum("observation_tally", "TALLY", {each.name: each.value for each in watch.Tally}),
            f"#define TALLY_COUNT {len(watch.Tally)}",
            "",
            "struct observation {",
            *_members(),
            "};",
            "",
            "/* Followed by `size` bytes. */",
            "struct string_record {",
            "\t__u32 number;",
            "\t__u16 size;",
            "\t__u16 cut;",
            "};",
            "/* clang-format on */",
            "",
            "#endif",
            "",
        ]
    )


_CONSTANTS: Final = ("STRING_NONE", "STRING_LOST", "STRING_FIRST", "STRING_MAX")


def _enum(name: str, prefix: str, members: dict[str, int]) -> Iterator[str]:
    yield f"enum {name} {{"
    for member, value in members.items():
        yield f"\t{prefix}_{member} = {value},"
    yield "};"


def _members() -> Iterator[str]:
    for field in watch.FIELDS:
        size = f"[{field.count}]" if field.count > 1 else ""
        kind = ", a string" if field.is_string else ""
        yield f"\t{C_TYPES[field.code]} {field.name}{size}; /* {field.meaning}{kind} */"


def page() -> str:
    """docs/events.md."""
    return "\n".join(
        [
            "# Events of the watch",
            "",
            "Made from `bpf_lsm/observation.py` by `python -m bpf_lsm.generate`: change it there.",
            "",
            f"A record has {watch.OBSERVATION.itemsize} bytes. Its strings are numbers: the programs send",
            "each string once, before the first record that names it. 0 is no string, 1 one that was lost",
            f"and counted. A string is kept up to {watch.STRING_MAX} bytes.",
            "",
            "## Types",
            "",
            "| type | number | `detail` |",
            "|---|---|---|",
            *(f"| `{each.word}` | {each.value} | {watch.DETAILS[each]} |" for each in watch.Type),
            "",
            "## Fields",
            "",
            "| field | type | meaning |",
            "|---|---|---|",
            *(_row(field) for field in watch.FIELDS),
            "",
            "## Flags",
            "",
            "| flag | number |",
            "|---|---|",
            *(f"| `{(each.name or '').lower()}` | {each.value} |" for each in watch.Flag),
            "",
            "## Counting",
            "",
            "For each type the kernel counts what it generated. Each record ends as delivered, allowed (by",
            "an allow list), limited (a rate limit, or the circuit breaker) or lost (no room), exactly:",
            "generated = delivered + allowed + limited + lost.",
            "",
        ]
    )


def _row(field: watch.Field) -> str:
    kind = "string" if field.is_string else field.code + (f" x {field.count}" if field.count > 1 else "")
    return f"| `{field.name}` | {kind} | {field.meaning.replace('|', 'or')} |"


OUTPUTS: Final = {
    REPOSITORY / "bpf_lsm/src/observation.h": header,
    REPOSITORY / "docs/events.md": page,
}


def main() -> int:
    """Write or check; the exit status."""
    behind = [path for path, make in OUTPUTS.items() if not path.exists() or path.read_text() != make()]
    if "--check" in sys.argv[1:]:
        for path in behind:
            print(f"{path.relative_to(REPOSITORY)} lags behind: python -m bpf_lsm.generate")
        return bool(behind)
    for path in behind:
        path.write_text(OUTPUTS[path]())
        print(f"wrote {path.relative_to(REPOSITORY)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
