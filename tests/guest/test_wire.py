"""The frames between host and guest, without a guest."""

from __future__ import annotations

import pytest

from tests.guest import wire


def test_frames_come_out_as_they_went_in_however_they_are_cut() -> None:
    frames = [
        wire.Frame(wire.OUT, 7, b"one"),
        wire.Frame(wire.EXIT, 7, b""),
        wire.Frame(wire.ERR, 9, b"x" * 5000),
    ]
    sent = b"".join(wire.pack(*frame) for frame in frames)
    for size in (1, 3, 4096, len(sent)):
        reader = wire.Reader()
        got = [
            frame for start in range(0, len(sent), size) for frame in reader.feed(sent[start : start + size])
        ]
        assert got == frames


@pytest.mark.parametrize(
    "rest", [b"garbage", b"MG", b"MG\x01" + bytes(20), wire.pack(wire.OUT, 1, b"abc")[4:]]
)
def test_the_rest_of_a_frame_that_a_restore_cut_off_is_skipped(rest: bytes) -> None:
    reader = wire.Reader()
    wanted = wire.Frame(wire.OUT, 1, b"here")
    assert reader.feed(rest + wire.pack(*wanted) + wire.pack(*wanted))[-1] == wanted


def test_a_greeting_is_found_behind_whatever_was_half_said() -> None:
    reader = wire.Reader()
    hello = wire.pack(wire.HELLO, 0, b"0123456789abcdef")
    reader.hold(wire.pack(wire.OUT, 3, b"cut off")[:-4] + hello[:5])
    assert not reader.skip_to(hello)
    reader.hold(hello[5:] + wire.pack(wire.OUT, 4, b"new"))
    assert reader.skip_to(hello)
    assert reader.feed(b"") == [wire.Frame(wire.OUT, 4, b"new")]
