"""Rules in any number, in the manner of those that are public: for benches of the engine. Seeded."""

from __future__ import annotations

import json
import random
from typing import Any, Final

from detect.rules.library import RULES
from detect.rules.model import Rule
from detect.rules.parse import parse

_TOOLS: Final = (
    "curl", "wget", "nc", "ncat", "socat", "python3", "perl", "ruby", "php", "base64", "openssl",
    "xxd", "chattr", "crontab", "systemctl", "useradd", "usermod", "passwd", "iptables", "tcpdump",
    "nmap", "gdb", "strace", "insmod", "modprobe", "docker", "kubectl", "tar", "zip", "rsync",
    "scp", "ssh", "dd", "shred", "find", "awk", "sed", "xargs",
)  # fmt: skip
_WORDS: Final = (
    "-decode --data-binary -exec", "/bin/sh -c", "--upload-file", "-e /bin", "+i ", "chmod +x",
    "/dev/null 2>&1", "nohup ", "import socket", "pty.spawn", "eval(", "id_rsa", ".aws/",
    "metadata.google", "169.254.169.254", "xmrig", "stratum+tcp", "--no-check-certificate",
    "authorized_keys",
)  # fmt: skip
_FOLDERS: Final = (
    "/etc/cron.d/", "/etc/systemd/system/", "/root/.ssh/", "/home/", "/var/www/", "/usr/lib/",
    "/usr/local/bin/", "/opt/", "/var/lib/", "/boot/", "/etc/init.d/", "/etc/pam.d/", "/var/spool/",
    "/lib/modules/", "/usr/share/", "/srv/", "/etc/ld.so.conf.d/", "/run/", "/etc/profile.d/",
    "/dev/",
)  # fmt: skip
_ENDS: Final = (
    ".sh", ".py", ".so", ".ko", ".service", ".timer", ".conf", ".php", ".jsp", ".pl", ".rb", ".key",
    ".pem", ".bak", ".log", ".gz", ".elf", ".bin", ".cfg",
)  # fmt: skip


class _Maker:
    """Makes one rule after the other. A word with a number of its own meets hardly anything of a stream."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def some(self, words: tuple[str, ...], most: int = 5) -> list[str]:
        """A few words, most of them with a number added so that they are different ones in each rule."""
        chosen = self.random.sample(words, self.random.randint(1, min(most, len(words))))
        numbers = [self.random.randrange(10_000) if self.random.random() < 0.8 else "" for _ in chosen]
        return [f"{word}{number}" for word, number in zip(chosen, numbers, strict=True)]

    def process(self) -> tuple[str, dict[str, Any]]:
        detection: dict[str, Any] = {
            "image": {"Image|endswith": ["/" + tool for tool in self.some(_TOOLS)]},
            "words": {"CommandLine|contains": self.some(_WORDS)},
            "parent": {"ParentImage|endswith": ["/" + tool for tool in self.some(_TOOLS)]},
            "filter": {"ParentCommandLine|contains|all": self.some(_WORDS, 2)},
        }
        forms = ["image and words", "image and words and not filter", "words and parent"]
        detection["condition"] = self.random.choice(forms)
        return "process_creation", detection

    def file(self) -> tuple[str, dict[str, Any]]:
        detection: dict[str, Any] = {
            "folder": {"TargetFilename|startswith": self.some(_FOLDERS)},
            "end": {"TargetFilename|endswith": self.some(_ENDS)},
            "name": {"TargetFilename|contains": self.some(_TOOLS)},
            "by": {"Image|endswith": ["/" + tool for tool in self.some(_TOOLS)]},
        }
        forms = ["folder and end", "folder and name and not by", "end and by", "name and end"]
        detection["condition"] = self.random.choice(forms)
        return "file_event", detection

    def network(self) -> tuple[str, dict[str, Any]]:
        cidr = f"{self.random.randrange(1, 223)}.{self.random.randrange(256)}.0.0/16"
        detection: dict[str, Any] = {
            "to": {"Initiated": True, "DestinationPort": self.random.sample(range(1, 65535), 4)},
            "network": {"DestinationIp|cidr": cidr},
            "by": {"Image|endswith": ["/" + tool for tool in self.some(_TOOLS)]},
        }
        detection["condition"] = self.random.choice(["to and by", "network and not by", "to and network"])
        return "network_connection", detection

    def regex(self) -> tuple[str, dict[str, Any]]:
        one, two = self.random.sample(_TOOLS, 2)
        number = self.random.randrange(10_000)
        detection = {
            "selection": {"CommandLine|re": rf"{one}\s+-[a-z]+.*{two}{number}|{two}[0-9]{{4}}:{number}"},
            "condition": "selection",
        }
        return "process_creation", detection


def documents(count: int, seed: int = 1) -> list[str]:
    """The shipped rules, and made ones up to `count`: processes, files, connections, regular expressions."""
    maker = _Maker(seed)
    found = [text for path in sorted(RULES.glob("*.yml")) for text in path.read_text().split("\n---\n")][
        :count
    ]
    kinds = [maker.process, maker.process, maker.process, maker.file, maker.file, maker.network, maker.regex]
    while len(found) < count:
        category, detection = maker.random.choice(kinds)()
        rule = {
            "title": "made for the bench",
            "name": f"made-{len(found)}",
            "logsource": {"product": "linux", "category": category},
            "detection": detection,
            "level": "low",
            "tags": ["attack.execution"],
        }
        found.append(json.dumps(rule))
    return found


def rules(count: int, seed: int = 1) -> tuple[Rule, ...]:
    """The same, read."""
    return tuple(rule for text in documents(count, seed) for rule in parse(text.encode(), "made.yml"))
