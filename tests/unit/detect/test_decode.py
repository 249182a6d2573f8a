"""Numbers of strings become symbols; what is not known is marked and counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpf_lsm.observation import OBSERVATION, STRING_LOST, STRING_MAX, STRING_NONE, Raw, Type
from detect.decode import Decoder
from detect.symbols import EMPTY, LOST, MARKS, OVERFLOW, Symbols
from tests.bench.stream import stream
from tests.unit.detect.records import raw


def paths(numbers: list[int], *strings: tuple[int, bytes, bool]) -> Raw:
    records = np.zeros(len(numbers), OBSERVATION)
    records["path"] = numbers
    return Raw(records, strings)


def test_every_field_is_the_string_that_was_sent_with_its_number() -> None:
    decoder, texts = Decoder(), {0: b""}
    for part in stream(30_000):
        texts |= {number: value for number, value, _ in part.strings}
        batch = decoder.decode(part)
        for name in ("exe", "args", "path", "path2", "comm"):
            sent = [texts[number] for number in part.records[name].tolist()]
            assert [batch.symbols[symbol] for symbol in batch[name].tolist()] == sent
    assert (decoder.unknown, decoder.lost) == (0, 0)


def test_no_string_and_a_lost_one_and_an_unknown_one_are_told_apart() -> None:
    decoder = Decoder()
    batch = decoder.decode(paths([STRING_NONE, STRING_LOST, 999, STRING_LOST]))
    assert batch["path"].tolist() == [EMPTY, LOST, LOST, LOST]
    assert (decoder.lost, decoder.unknown) == (3 - 1, 1)
    assert batch.symbols[LOST] == MARKS[1]


def test_a_number_that_is_announced_again_means_the_new_value_from_then_on() -> None:
    decoder = Decoder()
    before = decoder.decode(paths([5], (5, b"/old", False)))
    after = decoder.decode(paths([5], (5, b"/new", False)))
    assert before.symbols[before["path"][0]] == b"/old"
    assert after.symbols[after["path"][0]] == b"/new"


def test_nobody_takes_the_numbers_that_mean_nothing_and_lost() -> None:
    decoder = Decoder()
    batch = decoder.decode(paths([0, 1], (0, b"/evil", False), (1, b"/evil", False)))
    assert batch["path"].tolist() == [EMPTY, LOST]


def test_a_string_that_was_cut_is_counted_and_one_that_is_too_long_is_cut() -> None:
    decoder = Decoder()
    batch = decoder.decode(paths([2], (2, b"x" * (STRING_MAX + 9), True)))
    assert batch.symbols[batch["path"][0]] == b"x" * STRING_MAX
    assert decoder.cut == 1


def test_bytes_that_are_no_text_stay_what_they_are() -> None:
    decoder = Decoder()
    value = b"/tmp/\xff\n\x1b[2J\x00end"
    batch = decoder.decode(paths([2], (2, value, False)))
    assert batch.symbols[batch["path"][0]] == value
    assert batch.row(0)["path"].encode("utf-8", "surrogateescape") == value


def test_a_full_table_of_symbols_is_replaced_and_old_batches_keep_theirs() -> None:
    decoder = Decoder(Symbols(64), numbers=16)
    batches = []
    for at in range(40):
        names = [b"/%d/%d" % (at, each) for each in range(4)]
        batches.append(decoder.decode(raw({"type": Type.FILE_WRITE, "path": name} for name in names)))
    assert decoder.renewed > 1
    for at, batch in enumerate(batches):
        assert [batch.symbols[each] for each in batch["path"]] == [
            b"/%d/%d" % (at, each) for each in range(4)
        ]
        assert batch.symbols.overflowed == 0
        assert len(batch.symbols) <= 64


def test_a_number_that_is_in_use_is_known_after_a_renewal() -> None:
    decoder = Decoder(Symbols(64), numbers=16)
    decoder.decode(paths([2], (2, b"/always", False)))
    for at in range(3, 500):
        batch = decoder.decode(paths([2, at], (at, b"/%d" % at, False)))
        assert batch.symbols[batch["path"][0]] == b"/always"
    assert decoder.renewed > 1
    assert decoder.unknown == 0


def test_many_long_strings_cost_what_is_known_by_number_and_no_more_room() -> None:
    decoder = Decoder(Symbols(1 << 12, max_bytes=10_000), numbers=256)
    for at in range(2, 200):
        batch = decoder.decode(paths([at], (at, b"%d" % at * 500, False)))
        assert batch.symbols[batch["path"][0]] == b"%d" % at * 500
        assert decoder.symbols.bytes <= 10_000
    batch = decoder.decode(paths([2]))
    assert batch["path"].tolist() == [LOST]
    assert (decoder.unknown, decoder.symbols.overflowed) == (1, 0)
    assert decoder.forgotten > 100


def test_a_string_that_finds_no_room_is_marked_and_counted() -> None:
    symbols = Symbols(4)
    assert symbols.intern_all([b"a", b"b", b"a", b""]) == [3, OVERFLOW, 3, EMPTY]
    assert symbols.overflowed == 1
    assert symbols[OVERFLOW] == MARKS[0]


def test_records_of_another_layout_are_refused() -> None:
    with pytest.raises(ValueError, match="layout"):
        Decoder().decode(Raw(np.zeros(1, "u8"), []))


def test_a_table_of_symbols_too_small_for_the_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="need room"):
        Decoder(Symbols(100), numbers=64)


@given(
    st.lists(
        st.tuples(
            st.lists(st.tuples(st.integers(0, 30), st.binary(max_size=4), st.booleans())),
            st.lists(st.integers(0, 40)),
        ),
        max_size=8,
    )
)
def test_any_order_of_strings_and_numbers_gives_what_a_dict_gives(
    parts: list[tuple[list[tuple[int, bytes, bool]], list[int]]],
) -> None:
    decoder, known, unknown, lost = Decoder(), dict[int, bytes](), 0, 0
    for strings, numbers in parts:
        known |= {number: value for number, value, _ in strings if number > STRING_LOST}
        batch = decoder.decode(paths(numbers, *strings))
        wanted = [b"" if each == 0 else known.get(each, MARKS[1]) for each in numbers]
        assert [batch.symbols[each] for each in batch["path"]] == wanted
        lost += numbers.count(STRING_LOST)
        unknown += sum(each > 1 and each not in known for each in numbers)
    assert (decoder.lost, decoder.unknown) == (lost, unknown)
