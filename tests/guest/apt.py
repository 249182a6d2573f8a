"""Debian's packages through the machine's own sources, in a private apt; nothing of the system's is touched.

Archive addresses are read from the machine (`apt-get indextargets`) and written only below the cache.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.guest import cache
from tests.guest.host import HostError, run

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
SETTINGS = re.compile(r"^Acquire::(?!IndexTargets|Changelogs|Languages|GzipIndexes)\S+ \"[^\"]+\";$")


def machine_sources(release: str = "bookworm") -> list[tuple[str, str, str]]:
    """(archive address, suite, component) of this machine's sources for `release` and its updates."""
    text = run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]
    )
    found: list[tuple[str, str, str]] = []
    for line in text.splitlines():
        address, suite, component = line.split()
        if (
            re.fullmatch(rf"{release}(-updates|-security)?", suite)
            and (address, suite, component) not in found
        ):
            found.append((address, suite, component))
    if not any(suite == release for _, suite, _ in found):
        raise HostError(
            f"no apt source for {release} on this machine: Menshen's guests are built on Debian 12"
        )
    return found


def source_lines(sources: list[tuple[str, str, str]]) -> str:
    return "".join(
        f"deb [signed-by={KEYRING}] {address} {suite} {component}\n" for address, suite, component in sources
    )


def machine_settings() -> list[str]:
    """How this machine reaches its archive (proxies, certificates, clock): its Acquire settings."""
    return [line for line in run(["apt-config", "dump"]).splitlines() if SETTINGS.match(line)]


@dataclass(frozen=True)
class PrivateApt:
    """An apt with its own lists, cache and status under `folder`."""

    folder: Path

    @classmethod
    def create(cls, name: str, sources: list[tuple[str, str, str]]) -> PrivateApt:
        folder = cache.root() / "apt" / name
        for part in ("lists/partial", "archives/partial", "etc/preferences.d", "etc/sources.list.d"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        (folder / "etc/sources.list").write_text(source_lines(sources))
        settings = {
            "Dir::State": folder,
            "Dir::State::lists": folder / "lists",
            "Dir::State::status": folder / "status",
            "Dir::Cache": folder,
            "Dir::Cache::archives": folder / "archives",
            "Dir::Etc::sourcelist": folder / "etc/sources.list",
            "Dir::Etc::sourceparts": folder / "etc/sources.list.d",
            "Dir::Etc::preferences": folder / "etc/preferences",
            "Dir::Etc::preferencesparts": folder / "etc/preferences.d",
            "APT::Architecture": "amd64",
            "APT::Sandbox::User": "root",
        }
        lines = [f'{key} "{value}";' for key, value in settings.items()]
        (folder / "apt.conf").write_text("\n".join([*lines, ""]))
        return cls(folder)

    def _run(self, *words: str, cwd: Path | None = None) -> str:
        return run(
            ["env", f"APT_CONFIG={self.folder / 'apt.conf'}", *words], log=self.folder / "log", cwd=cwd
        )

    def update(self) -> None:
        self._run("apt-get", "-q", "update")

    def depends(self, package: str) -> list[str]:
        """What `package` depends on, alternatives left out."""
        text = self._run("apt-cache", "depends", "--important", package)
        return re.findall(r"^  (?:Pre)?Depends: ([^<\s]+)", text, re.MULTILINE)

    def names(self, pattern: str) -> list[str]:
        """The packages whose whole name matches."""
        return [name for name in self._run("apt-cache", "pkgnames").split() if re.fullmatch(pattern, name)]

    def version(self, package: str) -> str:
        match = re.search(r"Candidate: (\S+)", self._run("apt-cache", "policy", package))
        if match is None or match[1] == "(none)":
            raise HostError(f"this machine's Debian archive has no package {package}")
        return match[1]

    def download(self, packages: list[str], into: Path) -> list[Path]:
        """The packages' .deb files, downloaded and checked against the signed index."""
        into.mkdir(parents=True, exist_ok=True)
        self._run("apt-get", "-q", "download", *packages, cwd=into)
        return sorted(into.glob("*.deb"))
