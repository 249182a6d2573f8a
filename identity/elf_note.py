"""The credential inside an ELF file: put in, taken out, and the file as it was before, to the byte.

The unsigned file stays as it is; behind it come the note section `.note.menshen`, the section names with one
more name, and the section table with one more entry. In the header only what says where the section table is
changes. Nothing that the kernel or the dynamic loader reads is touched, so the program runs as before.

The section holds two notes of the owner "menshen": the credential's envelope, and what the header said
before. `embed` is a pure function of the unsigned file and the envelope, and `extract` accepts a file only if
embedding again gives that very file: so every byte is either under the signature (the unsigned file), checked
in itself (the envelope), or follows from the two.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

from identity import elf
from identity.errors import IdentityError

SECTION = b".note.menshen"
OWNER = b"menshen\0"
ENVELOPE_NOTE = 0x1001
UNSIGNED_NOTE = 0x1002
MAX_NOTE_BYTES = 64 << 10
MAX_FILE_BYTES = 1 << 30
"""Files that carry a note are read whole, so that what is checked is what was read."""

_SHT_STRTAB, _SHT_NOTE = 3, 7
_ET_EXEC, _ET_DYN = 2, 3
_LAST_SECTION = 0xFEFF
_UNSIGNED = struct.Struct(
    "<QQIII"
)  # file length; section table: offset, entry size, entries, index of the names


class AlteredError(IdentityError):
    """The file has a credential but is no longer the file that was signed."""


@dataclass(frozen=True, slots=True)
class Extracted:
    """A credential and the file that it was made for."""

    envelope: bytes
    unsigned: bytes


def embed(unsigned: bytes, envelope: bytes) -> bytes:
    """The file with the credential inside."""
    parsed = elf.parse(elf.reader(unsigned), len(unsigned))
    if parsed.type not in (_ET_EXEC, _ET_DYN):
        raise IdentityError(
            "only programs and shared libraries carry a credential inside",
            hint="a detached one: sign --detached",
        )
    if parsed.section_named(SECTION) is not None:
        raise IdentityError("the file has a credential inside already")
    if len(parsed.sections) + 2 > _LAST_SECTION:
        raise IdentityError(
            "the ELF file has too many sections", hint="a detached credential: sign --detached"
        )
    if parsed.sections and not parsed.names_index:
        raise IdentityError(
            "the ELF file's sections have no names", hint="a detached credential: sign --detached"
        )
    notes = elf.pack_note(parsed.shape, OWNER, ENVELOPE_NOTE, envelope)
    notes += elf.pack_note(parsed.shape, OWNER, UNSIGNED_NOTE, _header_values(parsed, unsigned))
    note_at = _aligned(len(unsigned))
    names = (parsed.names or b"\0.shstrtab\0") + SECTION + b"\0"
    names_at = _aligned(note_at + len(notes))
    table_at = _aligned(names_at + len(names))
    sections = list(parsed.sections)
    if not sections:  # sstrip and some packers leave none
        sections = [elf.Section(*[0] * 10), elf.Section(1, _SHT_STRTAB, 0, 0, 0, 0, 0, 0, 1, 0)]
    names_index = parsed.names_index or 1
    sections[names_index] = replace(sections[names_index], offset=names_at, size=len(names))
    name_offset = len(names) - len(SECTION) - 1
    sections.append(elf.Section(name_offset, _SHT_NOTE, 0, 0, note_at, len(notes), 0, 0, 4, 0))
    content = bytearray(unsigned)
    for at, part in ((note_at, notes), (names_at, names), (table_at, b"")):
        content += bytes(at - len(content)) + part
    content += b"".join(section.pack(parsed.shape) for section in sections)
    _set_table(content, parsed.shape, [table_at, parsed.shape.section.size, len(sections), names_index])
    return bytes(content)


def carries_note(read: elf.ReadAt, size: int) -> bool:
    """Whether the ELF file has a credential's section; an unreadable section table is an error."""
    return elf.parse(read, size).section_named(SECTION) is not None


def extract(content: bytes) -> Extracted | None:
    """The credential and the unsigned file; None if there is none. An altered file is an AlteredError."""
    read = elf.reader(content)
    parsed = elf.parse(read, len(content))
    index = parsed.section_named(SECTION)
    if index is None:
        return None
    notes = elf.parse_notes(
        parsed.shape, elf.section_content(read, len(content), parsed.sections[index], MAX_NOTE_BYTES)
    )
    if [(owner, kind) for owner, kind, _ in notes] != [(OWNER, ENVELOPE_NOTE), (OWNER, UNSIGNED_NOTE)]:
        raise IdentityError("the section .note.menshen does not hold a credential")
    envelope, before = notes[0][2], notes[1][2]
    if len(before) != _UNSIGNED.size:
        raise IdentityError("the section .note.menshen does not say what the unsigned file was")
    length, *table = _UNSIGNED.unpack(before)
    if not parsed.shape.header_size <= length <= len(content):
        raise AlteredError(_ALTERED)
    unsigned = bytearray(content[:length])
    try:
        _set_table(unsigned, parsed.shape, table)
        again = embed(bytes(unsigned), envelope)
    except (struct.error, IdentityError):
        raise AlteredError(_ALTERED) from None
    if again != content:
        raise AlteredError(_ALTERED)
    return Extracted(envelope, bytes(unsigned))


def remove(content: bytes) -> bytes:
    """The file without its credential; in a signed file that strip rewrote, the section is struck out."""
    try:
        found = extract(content)
    except IdentityError:
        return _blank(content)
    return content if found is None else found.unsigned


_ALTERED = "the file was altered after it was signed (strip and the like rewrite a file: sign last)"


def _blank(content: bytes) -> bytes:
    parsed = elf.parse(elf.reader(content), len(content))
    index = parsed.section_named(SECTION)
    if index is None:
        return content
    blanked = bytearray(content)
    at = parsed.section_offset + index * parsed.shape.section.size
    blanked[at : at + parsed.shape.section.size] = bytes(parsed.shape.section.size)
    return bytes(blanked)


def _header_values(parsed: elf.Elf, unsigned: bytes) -> bytes:
    head = parsed.shape.header.unpack_from(unsigned, 16)
    return _UNSIGNED.pack(len(unsigned), head[5], *head[10:13])


def _set_table(content: bytearray, shape: elf.Shape, table: list[int]) -> None:
    head = list(shape.header.unpack_from(content, 16))
    head[5], *head[10:13] = table
    shape.header.pack_into(content, 16, *head)


def _aligned(offset: int) -> int:
    return (offset + 7) & ~7
