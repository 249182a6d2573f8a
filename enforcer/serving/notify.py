"""Telling systemd that we are up and well: sd_notify(3) in a few lines."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> bool:
    """Send one state to the service manager, for example `READY=1`; False if there is none."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address or address[0] not in "@/":
        return False
    if address[0] == "@":
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            channel.sendto(state.encode(), address)
        except OSError:
            return False
    return True


def store(name: str, descriptor: int) -> bool:
    """Give the service manager a descriptor to keep over our death, in the place of what it has of that name.

    False if it keeps none.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address or address[0] not in "@/":
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        # Not polled: a socket whose other end is closed would be dropped.
        state = f"FDSTORE=1\nFDPOLL=0\nFDNAME={name}".encode()
        try:
            channel.connect("\0" + address[1:] if address[0] == "@" else address)
            channel.send(f"FDSTOREREMOVE=1\nFDNAME={name}".encode())
            socket.send_fds(channel, [state], [descriptor])
        except OSError:
            return False
    return True


def stored(name: str) -> int | None:
    """The descriptor of this name that the service manager kept for us."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return None
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    return 3 + names.index(name) if name in names else None


def watchdog_interval() -> float | None:
    """Seconds between signs of life, half of what the service manager waits; None if it waits for none."""
    limit = os.environ.get("WATCHDOG_USEC", "")
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()) or not limit.isdigit():
        return None
    return int(limit) / 2_000_000 or None
