"""Endpoints: bytes in, ranges out, against plain arithmetic."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.endpoint import PROTOCOLS, TCP, Address, EndpointPattern, encode, merge_ports
from policies.image import Right
from policies.utf8 import ByteSequence
from tests.examples import examples
from tests.unit.policies.helpers import evaluator, operations, policy
from tests.unit.policies.naive import matches_endpoint

QUICK = examples(300)

PORTS = st.integers(0, 0xFFFF) | st.sampled_from([0, 1, 255, 256, 257, 511, 512, 65279, 65280, 65534, 65535])
V4 = st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address)
V6 = st.integers(0, 2**128 - 1).map(ipaddress.IPv6Address).filter(lambda address: address.ipv4_mapped is None)


def _in(sequences: list[ByteSequence], data: bytes) -> bool:
    return any(
        len(sequence) <= len(data)
        and all(low <= byte <= high for byte, (low, high) in zip(data, sequence, strict=False))
        for sequence in sequences
    )


@st.composite
def patterns(draw: st.DrawFn) -> EndpointPattern:
    address = draw(st.none() | V4 | V6)
    network = None
    if address is not None:
        prefix = draw(st.integers(0, address.max_prefixlen))
        network = ipaddress.ip_network(
            (int(address), prefix) if False else f"{address}/{prefix}", strict=False
        )
    ports = [tuple(sorted(each)) for each in draw(st.lists(st.tuples(PORTS, PORTS), max_size=3))]
    return EndpointPattern(
        network,
        merge_ports(tuple((low, high) for low, high in ports)),
        draw(st.sampled_from(list(PROTOCOLS))),
    )


@given(patterns(), st.data())
@QUICK
def test_ranges_match_exactly_the_endpoints_of_the_set(pattern: EndpointPattern, data: st.DataObject) -> None:
    addresses: list[st.SearchStrategy[Address]] = [V4, V6]
    if pattern.network is not None:
        low, high = int(pattern.network[0]), int(pattern.network[-1])
        near = st.sampled_from(
            [low, high, max(low - 1, 0), min(high + 1, 2**pattern.network.max_prefixlen - 1)]
        )
        make = ipaddress.IPv4Address if pattern.network.version == 4 else ipaddress.IPv6Address
        addresses.append((near | st.integers(low, high)).map(make))
    address = data.draw(st.one_of(addresses))
    edges = [
        port for each in pattern.ports for port in (each[0] - 1, *each, each[1] + 1) if 0 <= port <= 0xFFFF
    ]
    port = data.draw(PORTS | st.sampled_from(edges or [0]))
    what = encode(data.draw(st.sampled_from([1, 6, 17, 132, 47])), address, port)
    assert _in(pattern.sequences(), what) == matches_endpoint(pattern, what)


def test_an_endpoint_is_family_protocol_port_address() -> None:
    assert encode(6, "10.0.0.1", 443) == bytes([4, 6, 1, 187, 10, 0, 0, 1])
    assert encode(17, "::1", 53) == bytes([6, 17, 0, 53, *[0] * 15, 1])


@pytest.mark.parametrize(("protocol", "counts_as"), [(262, 6), (136, 17), (58, 1), (6, 6), (132, 132)])
def test_a_protocol_counts_as_its_plain_form(protocol: int, counts_as: int) -> None:
    assert encode(protocol, "10.0.0.1", 1)[1] == counts_as


def test_a_mapped_address_counts_as_v4() -> None:
    assert encode(6, "::ffff:10.0.0.1", 1) == encode(6, "10.0.0.1", 1)


def test_rules_on_endpoints_hold_for_exactly_their_peers() -> None:
    app = operations(
        policy(
            """
            network:
              - {allow: connect, to: {cidr: 10.20.0.0/16, ports: [443, "8000-8010"]}}
              - {allow: connect, to: {cidr: "2001:db8::/32", protocol: udp}}
              - {deny: connect, to: {cidr: 10.20.9.0/24, protocol: any}}
              - {allow: listen, ports: [8080]}
              - {allow: listen, protocol: sctp, address: 127.0.0.1}
            """
        )
    )
    connects = {
        (6, "10.20.1.1", 443): True,
        (6, "10.20.1.1", 444): False,
        (6, "10.20.255.255", 8000): True,
        (262, "10.20.1.1", 8010): True,
        (6, "10.20.1.1", 8011): False,
        (17, "10.20.1.1", 443): False,
        (6, "10.21.0.0", 443): False,
        (6, "10.20.9.1", 443): False,
        (17, "2001:db8::1", 53): True,
        (136, "2001:db8:ffff::1", 1): True,
        (6, "2001:db8::1", 53): False,
        (17, "2001:db9::1", 53): False,
    }
    for (protocol, address, port), allowed in connects.items():
        assert app.connect(encode(protocol, address, port)).allowed == allowed, (protocol, address, port)
    listens = {
        (6, "0.0.0.0", 8080): True,
        (6, "::", 8080): True,
        (6, "127.0.0.1", 8081): False,
        (132, "127.0.0.1", 1): True,
        (132, "0.0.0.0", 1): False,
        (6, "10.20.1.1", 443): False,
    }
    for (protocol, address, port), allowed in listens.items():
        assert app.listen(encode(protocol, address, port)).allowed == allowed, (protocol, address, port)


@pytest.mark.parametrize(
    ("port", "allowed"),
    [(0, False), (255, False), (256, True), (257, True), (51200, True), (51454, True), (51455, True),
     (51456, False), (65535, False)],
)  # fmt: skip
def test_a_wide_range_of_ports_ends_where_it_says(port: int, allowed: bool) -> None:
    text = 'network:\n  - {allow: connect, to: {cidr: 10.0.0.0/8, ports: ["256-51455"]}}\n'
    other = "  - {allow: listen, ports: [51200]}\n"  # so that the last of its bytes is told apart
    found = evaluator(policy(text + other))
    number, _ = found.classify(encode(TCP, "10.200.0.1", port))
    assert found.decide(found.row("test/app"), number, 1 << Right.CONNECT).enforced is not allowed


def test_icmp_is_both_families_and_ports_do_not_matter() -> None:
    app = operations(policy("network:\n  - {allow: connect, to: {protocol: icmp}}\n"))
    assert app.connect(encode(1, "10.0.0.1", 0)).allowed
    assert app.connect(encode(58, "2001:db8::1", 77)).allowed
    assert not app.connect(encode(6, "10.0.0.1", 0)).allowed
