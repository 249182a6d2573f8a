"""The binding to libbpf.so.1: its functions with their types, its errors, and its log.

Nothing else in the project calls libbpf. No compiler, headers or Python extension are needed on the host.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import POINTER, c_bool, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any, Final

from bpf_lsm.errors import GateError, KernelError

PROG_TYPE_TRACING: Final = 26
PROG_TYPE_LSM: Final = 29
PROG_TYPE_SYSCALL: Final = 31
ATTACH_TRACE_FENTRY: Final = 24
ATTACH_TRACE_ITER: Final = 28
MAP_TYPE_ARRAY: Final = 2
MAP_TYPE_ARRAY_OF_MAPS: Final = 12

_F_RDONLY: Final = 1 << 3
_WARN, _INFO = 0, 1

# name -> (result, arguments); an int result below zero is -errno, a null pointer leaves errno behind.
_SIGNATURES: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {
    "bpf_object__open_file": (c_void_p, (c_char_p, c_void_p)),
    "bpf_object__load": (c_int, (c_void_p,)),
    "bpf_object__close": (None, (c_void_p,)),
    "bpf_object__btf": (c_void_p, (c_void_p,)),
    "btf__parse_elf": (c_void_p, (c_char_p, c_void_p)),
    "btf__raw_data": (c_void_p, (c_void_p, POINTER(c_uint32))),
    "btf__free": (None, (c_void_p,)),
    "bpf_object__next_program": (c_void_p, (c_void_p, c_void_p)),
    "bpf_object__next_map": (c_void_p, (c_void_p, c_void_p)),
    "bpf_program__name": (c_char_p, (c_void_p,)),
    "bpf_program__section_name": (c_char_p, (c_void_p,)),
    "bpf_program__type": (c_int, (c_void_p,)),
    "bpf_program__expected_attach_type": (c_int, (c_void_p,)),
    "bpf_program__autoload": (c_bool, (c_void_p,)),
    "bpf_program__set_autoload": (c_int, (c_void_p, c_bool)),
    "bpf_program__fd": (c_int, (c_void_p,)),
    "bpf_program__attach": (c_void_p, (c_void_p,)),
    "bpf_link__fd": (c_int, (c_void_p,)),
    "bpf_link__destroy": (c_int, (c_void_p,)),
    "bpf_map__name": (c_char_p, (c_void_p,)),
    "bpf_map__fd": (c_int, (c_void_p,)),
    "bpf_map__type": (c_int, (c_void_p,)),
    "bpf_map__key_size": (c_uint32, (c_void_p,)),
    "bpf_map__value_size": (c_uint32, (c_void_p,)),
    "bpf_map__max_entries": (c_uint32, (c_void_p,)),
    "bpf_map__map_flags": (c_uint32, (c_void_p,)),
    "bpf_map__set_value_size": (c_int, (c_void_p, c_uint32)),
    "bpf_map__set_max_entries": (c_int, (c_void_p, c_uint32)),
    "bpf_map__initial_value": (c_void_p, (c_void_p, POINTER(c_size_t))),
    "bpf_map__reuse_fd": (c_int, (c_void_p, c_int)),
    "bpf_map_create": (c_int, (c_int, c_char_p, c_uint32, c_uint32, c_uint32, c_void_p)),
    "bpf_map_lookup_elem": (c_int, (c_int, c_void_p, c_void_p)),
    "bpf_map_update_elem": (c_int, (c_int, c_void_p, c_void_p, c_uint64)),
    "bpf_map_delete_elem": (c_int, (c_int, c_void_p)),
    "bpf_map_lookup_batch": (
        c_int,
        (c_int, c_void_p, c_void_p, c_void_p, c_void_p, POINTER(c_uint32), c_void_p),
    ),
    "bpf_obj_pin": (c_int, (c_int, c_char_p)),
    "bpf_obj_get": (c_int, (c_char_p,)),
    "bpf_obj_get_opts": (c_int, (c_char_p, c_void_p)),
    "bpf_obj_get_info_by_fd": (c_int, (c_int, c_void_p, POINTER(c_uint32))),
    "bpf_prog_get_fd_by_id": (c_int, (c_uint32,)),
    "bpf_map_get_fd_by_id": (c_int, (c_uint32,)),
    "bpf_link_get_fd_by_id": (c_int, (c_uint32,)),
    "bpf_prog_test_run_opts": (c_int, (c_int, c_void_p)),
    "bpf_link_create": (c_int, (c_int, c_int, c_int, c_void_p)),
    "bpf_iter_create": (c_int, (c_int,)),
}

_PRINT = ctypes.CFUNCTYPE(c_int, c_int, c_char_p, c_void_p)


class _TestRun(ctypes.Structure):
    """struct bpf_test_run_opts."""

    _fields_ = (
        ("sz", c_size_t),
        ("data_in", c_void_p),
        ("data_out", c_void_p),
        ("data_size_in", c_uint32),
        ("data_size_out", c_uint32),
        ("ctx_in", c_void_p),
        ("ctx_out", c_void_p),
        ("ctx_size_in", c_uint32),
        ("ctx_size_out", c_uint32),
        ("retval", c_uint32),
        ("repeat", c_int),
        ("duration", c_uint32),
        ("flags", c_uint32),
        ("cpu", c_uint32),
        ("batch_size", c_uint32),
    )


class _ObjGet(ctypes.Structure):
    """struct bpf_obj_get_opts."""

    _fields_ = (("sz", c_size_t), ("file_flags", c_uint32), ("path_fd", c_int))


@functools.cache
def library() -> ctypes.CDLL:
    """The library with its functions typed, and its log in our hands."""
    try:
        found = ctypes.CDLL("libbpf.so.1", use_errno=True)
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(found, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise GateError(
            f"libbpf 1.1 or newer cannot be used: {error}", hint="apt-get install libbpf1"
        ) from None
    found.libbpf_set_print(_print)
    return found


def call(what: str, function: str, *arguments: Any) -> int:
    """Call a function that returns a number; a KernelError that begins with `what` if it fails."""
    result = int(getattr(library(), function)(*arguments))
    if result < 0:
        raise KernelError(what, -result)
    return result


def pointer(what: str, function: str, *arguments: Any) -> int:
    """Call a function that returns a pointer; a KernelError if it is null."""
    result = getattr(library(), function)(*arguments)
    if not result:
        raise KernelError(what, ctypes.get_errno() or errno.EINVAL)
    return int(result)


def run(program: int, context: bytes = b"") -> int:
    """Run a `syscall` program once and give its return value."""
    held = ctypes.create_string_buffer(context, len(context)) if context else None
    options = _TestRun(sz=ctypes.sizeof(_TestRun))
    if held is not None:
        options.ctx_in = ctypes.addressof(held)
        options.ctx_size_in = len(context)
    call("cannot run a program of the gate", "bpf_prog_test_run_opts", program, ctypes.byref(options))
    return ctypes.c_int32(int(options.retval)).value


def open_reading(path: bytes) -> int:
    """A descriptor of a pinned map through which system calls can only read it."""
    options = _ObjGet(sz=ctypes.sizeof(_ObjGet), file_flags=_F_RDONLY)
    return call(f"cannot open {os.fsdecode(path)}", "bpf_obj_get_opts", path, ctypes.byref(options))


def read_iterator(program: int) -> bytes:
    """Run an iterator program over everything it iterates over; what it wrote."""
    link = call("cannot attach an iterator", "bpf_link_create", program, 0, ATTACH_TRACE_ITER, None)
    try:
        stream = call("cannot start an iterator", "bpf_iter_create", link)
        with os.fdopen(stream, "rb", buffering=0) as file:
            return file.readall()
    finally:
        os.close(link)


class Log:
    """What libbpf said while it was captured, the verifier's log included."""

    def __init__(self) -> None:
        self.text = ""

    @property
    def program(self) -> str | None:
        """The program that libbpf spoke about last."""
        names = re.findall(r"prog '([^']+)'", self.text)
        return names[-1] if names else None

    @property
    def verifier(self) -> list[str]:
        """The lines of the last verifier log."""
        parts = re.findall(r"-- BEGIN PROG LOAD LOG --\n(.*?)-- END PROG LOAD LOG --", self.text, re.S)
        return [line for line in parts[-1].splitlines() if line.strip()] if parts else []

    def tail(self, count: int = 10) -> tuple[str, ...]:
        """The last lines of the verifier if it spoke, otherwise of libbpf."""
        said = [line for line in self.verifier if not _STATISTICS.match(line)]
        return tuple((said or [line for line in self.text.splitlines() if line.strip()])[-count:])

    def reason(self) -> str:
        """Why it failed, in one line."""
        if missing := re.findall(r"failed to find kernel BTF type ID of 'bpf_lsm_(\w+)'", self.text):
            return f"this kernel has no LSM hook {missing[-1]}"
        if missing := re.findall(r"failed to find kernel BTF type ID of '(\w+)'", self.text):
            return f"this kernel has no {missing[-1]} to attach to"
        lines = [line for line in self.verifier if not _STATISTICS.match(line)]
        if lines:
            return f"the verifier refused it: {lines[-1].strip()}"
        return "the kernel refused it"


_STATISTICS = re.compile(r"processed \d+ insns|verification time|stack depth|total_states")
_capturing = threading.Lock()
_log: Log | None = None


@contextmanager
def captured() -> Iterator[Log]:
    """Collect what libbpf says until the end of the block. One at a time."""
    global _log  # noqa: PLW0603 - libbpf has one print function per process
    library()
    with _capturing:
        _log = Log()
        try:
            yield _log
        finally:
            _log = None


_libc = ctypes.CDLL(None, use_errno=True)
_libc.vasprintf.argtypes = (POINTER(c_void_p), c_char_p, c_void_p)
_libc.free.argtypes = (c_void_p,)


def _said(level: int, template: bytes, arguments: int) -> int:
    log = _log
    if log is None or level > _INFO:
        return 0
    text = c_void_p()
    if _libc.vasprintf(ctypes.byref(text), template, arguments) >= 0 and text.value:
        log.text += ctypes.string_at(text.value).decode("utf-8", "replace")
        _libc.free(text)
    return 0


_print = _PRINT(_said)
