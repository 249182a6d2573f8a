"""Reading an ELF file's section table and notes: every offset is checked, nothing is believed."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from identity.errors import IdentityError

MAGIC = b"\x7fELF"
MAX_NAMES = 16 << 20
_IDENT = 16
_SECTION_FIELDS = ("name", "type", "flags", "addr", "offset", "size", "link", "info", "addralign", "entsize")
_EXTENDED_NUMBERING = 0xFF00

ReadAt = Callable[[int, int], bytes]
"""read(offset, size): fewer bytes than asked for only at the end of the file."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What differs between 32 and 64 bits and the two byte orders."""

    order: str
    wide: bool

    @property
    def header(self) -> struct.Struct:
        """The file header after its first 16 bytes."""
        return struct.Struct(self.order + ("HHIQQQIHHHHHH" if self.wide else "HHIIIIIHHHHHH"))

    @property
    def section(self) -> struct.Struct:
        """One entry of the section table."""
        return struct.Struct(self.order + ("IIQQQQIIQQ" if self.wide else "10I"))

    @property
    def note(self) -> struct.Struct:
        """The head of one note."""
        return struct.Struct(self.order + "III")

    @property
    def header_size(self) -> int:
        """Size of the file header."""
        return _IDENT + self.header.size


@dataclass(frozen=True, slots=True)
class Section:
    """One entry of the section table, as it is in the file."""

    name: int
    type: int
    flags: int
    addr: int
    offset: int
    size: int
    link: int
    info: int
    addralign: int
    entsize: int

    def pack(self, shape: Shape) -> bytes:
        """The entry's bytes."""
        return shape.section.pack(*(getattr(self, field) for field in _SECTION_FIELDS))


@dataclass(frozen=True, slots=True)
class Elf:
    """The header and the section table of an ELF file."""

    shape: Shape
    type: int
    section_offset: int
    names_index: int
    sections: tuple[Section, ...]
    names: bytes

    def section_named(self, name: bytes) -> int | None:
        """The index of the one section with this name; two of them are an error."""
        wanted = name + b"\0"
        found = [
            index
            for index, section in enumerate(self.sections)
            if self.names[section.name : section.name + len(wanted)] == wanted
        ]
        if len(found) > 1:
            raise IdentityError(f"the ELF file has {len(found)} sections named {name.decode()}")
        return found[0] if found else None


def is_elf(head: bytes) -> bool:
    """Whether a file that begins with these bytes is an ELF file."""
    return head.startswith(MAGIC)


def parse(read: ReadAt, size: int) -> Elf:
    """Read the header and section table of an ELF file of `size` bytes."""
    ident = read(0, _IDENT)
    if not is_elf(ident):
        raise IdentityError("not an ELF file")
    shape = _shape(ident)
    head = read(_IDENT, shape.header.size)
    if len(head) < shape.header.size:
        raise IdentityError("the ELF file is truncated: it ends within its header")
    (
        kind,
        _machine,
        _version,
        _entry,
        _phoff,
        shoff,
        _flags,
        _ehsize,
        _phentsize,
        _phnum,
        shentsize,
        shnum,
        names,
    ) = shape.header.unpack(head)
    if shoff == 0 and shnum == 0:
        return Elf(shape, kind, 0, 0, (), b"")
    if shnum == 0 or shnum >= _EXTENDED_NUMBERING or names >= _EXTENDED_NUMBERING:
        raise IdentityError("the ELF file's section table uses extended numbering, which is not supported")
    if shentsize != shape.section.size:
        raise IdentityError(f"the ELF file is malformed: its section table has entries of {shentsize} bytes")
    table = _within(read, size, shoff, shnum * shentsize, "its section table")
    sections = tuple(Section(*fields) for fields in shape.section.iter_unpack(table))
    if names >= shnum:
        raise IdentityError(
            "the ELF file is malformed: it says its section names are in a section that is not there"
        )
    strings = sections[names]
    if strings.size > MAX_NAMES:
        raise IdentityError(f"the ELF file is malformed: {strings.size} bytes of section names")
    return Elf(
        shape,
        kind,
        shoff,
        names,
        sections,
        _within(read, size, strings.offset, strings.size, "its section names"),
    )


def section_content(read: ReadAt, size: int, section: Section, limit: int) -> bytes:
    """The bytes of one section."""
    if section.size > limit:
        raise IdentityError(
            f"the ELF file's note section has {section.size} bytes; at most {limit} make sense"
        )
    return _within(read, size, section.offset, section.size, "its note section")


def parse_notes(shape: Shape, content: bytes) -> list[tuple[bytes, int, bytes]]:
    """The notes of a note section: (owner, type, description)."""
    notes = []
    at = 0
    while at < len(content):
        if at + shape.note.size > len(content):
            raise IdentityError("the ELF note section is malformed: it ends within a note's head")
        name_size, size, kind = shape.note.unpack_from(content, at)
        name_at = at + shape.note.size
        start = name_at + _padded(name_size)
        if start + size > len(content):
            raise IdentityError("the ELF note section is malformed: a note is longer than the section")
        notes.append((content[name_at : name_at + name_size], kind, content[start : start + size]))
        at = start + _padded(size)
    return notes


def pack_note(shape: Shape, owner: bytes, kind: int, description: bytes) -> bytes:
    """The bytes of one note."""
    return b"".join(
        [
            shape.note.pack(len(owner), len(description), kind),
            owner.ljust(_padded(len(owner)), b"\0"),
            description.ljust(_padded(len(description)), b"\0"),
        ]
    )


def reader(content: bytes) -> ReadAt:
    """Read from bytes in memory."""
    return lambda offset, size: content[offset : offset + size]


def _shape(ident: bytes) -> Shape:
    if len(ident) < _IDENT:
        raise IdentityError("the ELF file is truncated: it ends within its header")
    orders = {1: "<", 2: ">"}
    if ident[4] not in (1, 2) or ident[5] not in orders:
        raise IdentityError("the ELF file is malformed: neither 32 nor 64 bits, or of no byte order")
    return Shape(orders[ident[5]], wide=ident[4] == 2)


def _within(read: ReadAt, size: int, offset: int, length: int, what: str) -> bytes:
    content = read(offset, length) if offset + length <= size else b""
    if len(content) != length:
        raise IdentityError(f"the ELF file is truncated or malformed: {what} would lie beyond its end")
    return content


def _padded(size: int) -> int:
    return (size + 3) & ~3
