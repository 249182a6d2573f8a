"""Network endpoints as byte strings, and rules on them as sequences of byte ranges for the automaton.

An endpoint is family (0x04, 0x06), protocol number, port (2 bytes, big endian), address (4 or 16 bytes).
MPTCP counts as TCP, UDP-Lite as UDP, ICMPv6 as ICMP, a v4-mapped address as the v4 address.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

from policies.image import ENDPOINT_V4, ENDPOINT_V6
from policies.utf8 import ByteSequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

TCP: Final = 6
UDP: Final = 17
SCTP: Final = 132
ICMP: Final = 1
PROTOCOLS: Final = {"tcp": TCP, "udp": UDP, "sctp": SCTP, "icmp": ICMP, "any": None}
SAME_AS: Final = {262: TCP, 136: UDP, 58: ICMP}
ALL_PORTS: Final = (0, 0xFFFF)

_ANY: Final = (0, 0xFF)
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")


@dataclass(frozen=True, slots=True)
class EndpointPattern:
    """A set of endpoints. `network` None: any address of both families; no ports: all."""

    network: Network | None
    ports: tuple[tuple[int, int], ...]
    protocol: str

    def __str__(self) -> str:
        where = str(self.network) if self.network else "any address"
        ports = ",".join(str(low) if low == high else f"{low}-{high}" for low, high in self.ports)
        return f"{self.protocol} {where}" + (f" port {ports}" if ports else "")

    def sequences(self) -> list[ByteSequence]:
        """Byte ranges that match every endpoint in the set; bytes left out at the end match anything."""
        found: list[ByteSequence] = []
        number = PROTOCOLS[self.protocol]
        protocol = _ANY if number is None else (number, number)
        for family, address in self._addresses():
            for ports in self._port_bytes():
                sequence = ((family, family), protocol, *ports, *address)
                while sequence[-1] == _ANY and len(sequence) > 2:
                    sequence = sequence[:-1]
                found.append(sequence)
        return found

    def _addresses(self) -> list[tuple[int, ByteSequence]]:
        if self.network is None:
            return [(ENDPOINT_V4, ()), (ENDPOINT_V6, ())]
        family = ENDPOINT_V4 if self.network.version == 4 else ENDPOINT_V6
        low, high = self.network.network_address.packed, self.network.broadcast_address.packed
        return [(family, tuple(zip(low, high, strict=True)))]

    def _port_bytes(self) -> list[ByteSequence]:
        found: list[ByteSequence] = []
        for low, high in merge_ports(self.ports) or (ALL_PORTS,):
            found.extend(_two_bytes(low, high))
        return found


def _two_bytes(low: int, high: int) -> list[ByteSequence]:
    first, last = low >> 8, high >> 8
    if first == last:
        return [((first, first), (low & 0xFF, high & 0xFF))]
    found: list[ByteSequence] = []
    if low & 0xFF:
        found.append(((first, first), (low & 0xFF, 0xFF)))
        first += 1
    if high & 0xFF != 0xFF:
        found.append(((last, last), (0, high & 0xFF)))
        last -= 1
    if first <= last:
        found.append(((first, last), _ANY))
    return found


def merge_ports(ports: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """The same ports as sorted ranges that do not touch."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ports):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def encode(protocol: int, address: str | Address, port: int = 0) -> bytes:
    """The byte string of one endpoint, as the kernel programs make it."""
    where = ipaddress.ip_address(address)
    if isinstance(where, ipaddress.IPv6Address) and where.ipv4_mapped:
        where = where.ipv4_mapped
    family = ENDPOINT_V4 if where.version == 4 else ENDPOINT_V6
    return bytes((family, SAME_AS.get(protocol, protocol) & 0xFF)) + port.to_bytes(2, "big") + where.packed


def network(text: str) -> Network:
    """An address or a network; ValueError says what is wrong and what to write."""
    try:
        found = ipaddress.ip_network(text)
    except ValueError:
        try:
            loose = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ValueError(
                f'"{text}" is not an address or a network', "write 10.20.0.0/16 or 10.1.2.3"
            ) from None
        raise ValueError(f'"{text}" has bits set behind its prefix', f"write {loose}") from None
    if isinstance(found, ipaddress.IPv6Network) and found.subnet_of(_MAPPED):
        inner = found.network_address.ipv4_mapped
        raise ValueError(
            f'"{text}" is a v4-mapped network, and those count as v4', f"write {inner}/{found.prefixlen - 96}"
        )
    return found


def port_range(text: str) -> tuple[int, int]:
    """`443` or `8000-8010`; ValueError says what is wrong and what to write."""
    low_text, _, high_text = text.partition("-")
    low, high = int(low_text), int(high_text or low_text)
    if high > 0xFFFF or low > 0xFFFF:
        raise ValueError(f"port {max(low, high)} is above 65535", "ports go from 0 to 65535")
    if low > high:
        raise ValueError(f'the port range "{text}" is empty', f'write "{high}-{low}"')
    return low, high
