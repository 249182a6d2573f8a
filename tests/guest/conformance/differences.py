"""Cases that differ with Menshen, and why that is meant."""

from __future__ import annotations

from typing import Final

GUARD: Final = "the guard refuses to unmount a mount of sysfs: it is judged as /sys, where the pins are"
LEFT: Final = "the case before could not take its folder away: " + GUARD

_SYSFS = "fs_test/layout3_fs.sysfs"
_PATHNAME = "scoped_abstract_unix_test/various_address_sockets"

KNOWN: Final[dict[str, str]] = {
    "fs_test": GUARD,
    f"{_SYSFS}.tag_inode_dir_parent": GUARD,
    f"{_SYSFS}.tag_inode_dir_mnt": LEFT,
    f"{_SYSFS}.tag_inode_dir_child": LEFT,
    f"{_SYSFS}.tag_inode_file": LEFT,
    f"{_SYSFS}.release_inodes": LEFT,
    "scoped_abstract_unix_test": LEFT,
    f"{_PATHNAME}.pathname_socket_scoped_domain.scoped_pathname_sockets": LEFT,
    f"{_PATHNAME}.pathname_socket_other_domain.scoped_pathname_sockets": LEFT,
    f"{_PATHNAME}.pathname_socket_no_domain.scoped_pathname_sockets": LEFT,
    "mount06": "while a Protection is about mounts, nobody but process 1 moves one by its name",
    "ptrace11": "it traces process 1, which the guard refuses",
    "pkey01": "anonymous huge pages are a file without a path: no-path, where jit should do",
}
"""Name of the case, and the reason."""
