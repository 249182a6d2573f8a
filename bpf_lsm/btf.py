"""A small reader of BTF, the type information in an object file: structs, enumerations, map definitions."""

from __future__ import annotations

import ctypes
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from bpf_lsm import libbpf
from bpf_lsm.errors import GateError, KernelError

_INT, _PTR, _ARRAY, _STRUCT, _UNION, _ENUM, _FWD = 1, 2, 3, 4, 5, 6, 7
_TYPEDEF, _VOLATILE, _CONST, _RESTRICT, _FUNC, _PROTO, _VAR, _DATASEC = 8, 9, 10, 11, 12, 13, 14, 15
_FLOAT, _DECL_TAG, _TYPE_TAG, _ENUM64 = 16, 17, 18, 19
_TRANSPARENT: Final = {_TYPEDEF, _VOLATILE, _CONST, _RESTRICT, _TYPE_TAG}
# kind -> (bytes that follow the type, bytes that follow for each of its members)
_TAILS: Final = {
    _INT: (4, 0), _ARRAY: (12, 0), _STRUCT: (0, 12), _UNION: (0, 12), _ENUM: (0, 8), _PROTO: (0, 8),
    _VAR: (4, 0), _DATASEC: (0, 12), _DECL_TAG: (4, 0), _ENUM64: (0, 12),
}  # fmt: skip


VARIABLE: Final = ".data."
"""Before the name of a map that libbpf makes of one variable."""


@dataclass(frozen=True, slots=True)
class Field:
    """A member of a struct."""

    name: str
    offset: int
    """In bytes."""
    size: int
    """Of one element."""
    count: int
    """Elements; 1 where it is no array."""


@dataclass(frozen=True, slots=True)
class Struct:
    """A struct."""

    size: int
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class _Type:
    name: str
    kind: int
    size: int
    """Or, for a reference, the type that it refers to."""
    tail: bytes
    flagged: bool


class Btf:
    """The types of one object file."""

    def __init__(self, path: Path) -> None:
        with libbpf.captured():
            try:
                types = libbpf.pointer("", "btf__parse_elf", os.fsencode(path), None)
            except KernelError:
                raise GateError(f"{path} has no type information", hint="compile it with clang -g") from None
        try:
            self._read(types)
        finally:
            libbpf.library().btf__free(types)

    @classmethod
    def opened(cls, handle: int) -> Self:
        """Of an object that libbpf has opened; variables are then where they will be."""
        found = cls.__new__(cls)
        found._read(libbpf.pointer("the object has no type information", "bpf_object__btf", handle))
        return found

    def _read(self, handle: int) -> None:
        size = ctypes.c_uint32()
        raw = ctypes.string_at(
            libbpf.pointer("cannot read type information", "btf__raw_data", handle, ctypes.byref(size)),
            size.value,
        )
        header, types, types_size, strings, _ = struct.unpack_from("<IIIII", raw, 4)
        self._strings = raw[header + strings :]
        self._types = [_Type("void", 0, 0, b"", False)]
        at, end = header + types, header + types + types_size
        while at < end:
            name, info, size = struct.unpack_from("<III", raw, at)
            kind = info >> 24 & 0x1F
            fixed, each = _TAILS.get(kind, (0, 0))
            length = fixed + each * (info & 0xFFFF)
            tail = raw[at + 12 : at + 12 + length]
            self._types.append(_Type(self._string(name), kind, size, tail, bool(info >> 31)))
            at += 12 + length

    def structs(self) -> dict[str, Struct]:
        """Every named struct."""
        return {t.name: self._struct(t) for t in self._types if t.kind == _STRUCT and t.name}

    def enums(self) -> dict[str, dict[str, int]]:
        """Every enumeration; those without a name are joined under the empty one."""
        found: dict[str, dict[str, int]] = {}
        for t in self._types:
            if t.kind == _ENUM:
                found.setdefault(t.name, {}).update(
                    (self._string(name), value) for name, value in struct.iter_unpack("<Ii", t.tail)
                )
        return found

    def variables(self, section: str) -> dict[str, tuple[int, int]]:
        """Where each variable of a section begins, and its size, in bytes."""
        return {
            self._types[variable].name: (offset, size)
            for found in self._types
            if found.kind == _DATASEC and found.name == section
            for variable, offset, size in struct.iter_unpack("<III", found.tail)
        }

    def maps(self) -> dict[str, str]:
        """Every map, with a description of its definition that changes when a key or value does."""
        found = {}
        for section in self._types:
            if section.kind != _DATASEC:
                continue
            for variable, _, _ in struct.iter_unpack("<III", section.tail):
                if section.name.startswith(VARIABLE):
                    found[self._types[variable].name] = self._describe(self._types[variable].size)
                elif section.name == ".maps":
                    definition = self._resolve(self._types[variable].size)
                    parts = [
                        f"{self._string(name)}={self._describe(self._resolve(kind).size)}"
                        for name, kind, _ in struct.iter_unpack("<III", definition.tail)
                    ]
                    found[self._types[variable].name] = ";".join(sorted(parts))
        return found

    def _struct(self, t: _Type) -> Struct:
        fields = []
        for name, kind, offset in struct.iter_unpack("<III", t.tail):
            size, count = self._extent(kind)
            fields.append(
                Field(self._string(name), (offset & 0xFFFFFF if t.flagged else offset) // 8, size, count)
            )
        return Struct(t.size, tuple(fields))

    def _resolve(self, index: int) -> _Type:
        t = self._types[index]
        while t.kind in _TRANSPARENT:
            t = self._types[t.size]
        return t

    def _extent(self, index: int) -> tuple[int, int]:
        t = self._resolve(index)
        if t.kind == _ARRAY:
            element, _, count = struct.unpack("<III", t.tail)
            size, inner = self._extent(element)
            return size, inner * int(count)
        return (8, 1) if t.kind == _PTR else (t.size, 1)

    def _describe(self, index: int) -> str:
        t = self._resolve(index)
        if t.kind == _ARRAY:
            element, _, count = struct.unpack("<III", t.tail)
            return f"{self._describe(element)}[{count}]"
        if t.kind == _PTR:
            return "*"
        if t.kind in {_STRUCT, _UNION}:
            members = struct.iter_unpack("<III", t.tail)
            inner = ",".join(
                f"{self._string(name)}@{at}:{self._describe(kind)}" for name, kind, at in members
            )
            return f"{t.name}{{{inner}}}{t.size}"
        return f"{t.name or t.kind}/{t.size}"

    def _string(self, offset: int) -> str:
        return self._strings[offset : self._strings.index(b"\0", offset)].decode()
