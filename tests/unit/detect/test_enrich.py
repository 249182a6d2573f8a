"""Containers and identities by name: asked once, again while not known, anew with other symbols."""

from __future__ import annotations

from detect.decode import Decoder
from detect.enrich import Enricher
from detect.symbols import Symbols
from tests.unit.detect.records import raw


def test_a_container_is_asked_for_once_and_again_while_it_is_not_known() -> None:
    asked: list[int] = []

    def container(cgroup: int) -> bytes | None:
        asked.append(cgroup)
        return None if cgroup == 9 and asked.count(9) < 3 else b"pod-%d" % cgroup

    decoder, enricher = Decoder(), Enricher(container=container)
    found = []
    for _ in range(4):
        batch = enricher.enrich(decoder.decode(raw({"cgroup": each} for each in (8, 9, 8, 9, 2**63))))
        found.append([batch.symbols[each] for each in batch["container"]])
    assert found[0] == [b"pod-8", b"", b"pod-8", b"", b"pod-9223372036854775808"]
    assert found[3] == [b"pod-8", b"pod-9", b"pod-8", b"pod-9", b"pod-9223372036854775808"]
    assert (asked.count(8), asked.count(9)) == (1, 3)


def test_identities_are_asked_for_anew_with_another_policy_image() -> None:
    names = {0: b"", 7: b"payments/api"}
    decoder, enricher = Decoder(), Enricher(identity=names.get)

    def identities() -> list[bytes]:
        batch = enricher.enrich(decoder.decode(raw([{"subject": 0}, {"subject": 7}])))
        return [batch.symbols[each] for each in batch["identity"]]

    assert identities() == [b"", b"payments/api"]
    names[7] = b"payments/web"
    assert identities() == [b"", b"payments/api"]
    enricher.identities_changed()
    assert identities() == [b"", b"payments/web"]


def test_parents_and_names_survive_a_new_table_of_symbols() -> None:
    decoder = Decoder(Symbols(64), numbers=16)
    enricher = Enricher(container=lambda _: b"pod")
    fork = {"type": 2, "pid": 10, "target_pid": 11, "exe": b"/bin/sh", "args": b"sh\0-c"}
    enricher.enrich(decoder.decode(raw([fork])))
    for at in range(100):
        batch = enricher.enrich(decoder.decode(raw([{"pid": 11, "path": b"/%d" % at}])))
        texts = [batch.symbols[batch[name][0]] for name in ("parent_exe", "parent_args", "container")]
        assert texts == [b"/bin/sh", b"sh\0-c", b"pod"]
    assert decoder.renewed > 0
