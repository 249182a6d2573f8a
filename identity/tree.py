"""Paths inside a root directory: links are followed as that root would, and never out of it."""

from __future__ import annotations

import stat
from pathlib import Path, PurePosixPath

from identity.errors import IdentityError

_MAX_LINKS = 40


class Tree:
    """A file tree with its own `/`. Directories are resolved once and remembered."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root
        self._directories: dict[str, str] = {"/": "/"}

    def outside(self, path: str) -> Path:
        """Where a path of the tree is for us. The path must be resolved already."""
        return self.root / path.lstrip("/")

    def canonical(self, path: str) -> str:
        """The path with links among its directories followed (/lib/x -> /usr/lib/x); the last part stays."""
        pure = PurePosixPath("/", path)
        if pure.name in ("", ".."):
            return self.directory(str(pure))
        parent = self.directory(str(pure.parent))
        return f"{parent.rstrip('/')}/{pure.name}"

    def directory(self, path: str, depth: int = 0) -> str:
        """A directory with all links followed, within the root; what is not there stays as written."""
        known = self._directories.get(path)
        if known is not None:
            return known
        if depth > _MAX_LINKS:
            raise IdentityError(f"too many symbolic links at {path} in {self.root}")
        pure = PurePosixPath(path)
        parent = self.directory(str(pure.parent), depth + 1)
        if pure.name == "..":
            found = str(PurePosixPath(parent).parent)
        else:
            found = f"{parent.rstrip('/')}/{pure.name}"
            target = self._link(found)
            if target is not None:
                found = self.directory(str(PurePosixPath(parent, target)), depth + 1)
        self._directories[path] = found
        return found

    def _link(self, path: str) -> str | None:
        outside = self.outside(path)
        try:
            return str(outside.readlink()) if stat.S_ISLNK(outside.lstat().st_mode) else None
        except OSError:
            return None
