"""Sequences that block, as the image has them and the evaluator follows them."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from policies import Evaluator, PolicyErrors, compile_documents, parse_text
from policies.endpoint import TCP, encode
from policies.evaluate import Verdict
from policies.follow import Follower
from policies.sequence import Act
from tests.unit.policies.helpers import evaluator, policy, protection
from tests.unit.policies.test_sequence import written

SECOND = 10**9

SCAN = written(
    """
    - {name: ready, tag: x, within: 1m, count: 1, kernel: {operation: chmod, paths: ["/tmp/**"]}}
    - {name: packaged, tag: x, absent: true, kernel: {operation: write, paths: ["/var/lib/dpkg/**"]}}
    - {name: run, tag: x, within: 1m, kernel: {operation: execute, paths: ["/tmp/**"], unidentified: true}}
    - name: scan
      tag: x
      count: 3
      distinct: port
      within: 20s
      kernel: {operation: connect, to: {cidr: [10.0.0.0/8, "fc00::/7"]}}
    """,
    mode="block",
)


@dataclass
class Session:
    """Accesses of one session, a second apart."""

    follower: Follower
    session: int = 1
    now: int = 100 * SECOND
    told: list[Verdict] = field(default_factory=list)

    def does(self, act: Act, what: bytes, *, after: int = 1, identified: bool = False, port: int = 0) -> str:
        """What becomes of an access: `done`, `told` or `denied`."""
        self.now += after * SECOND
        number, _ = self.follower.evaluator.classify(what)
        verdict = self.follower.follow(self.session, number, act, self.now, identified=identified, port=port)
        self.told.append(verdict)
        return "denied" if verdict.enforced else "told" if verdict.reported else "done"

    def connects(self, *ports: int, to: str = "10.1.2.3", after: int = 1) -> list[str]:
        """What becomes of connects to these ports."""
        return [self.does(Act.CONNECT, encode(TCP, to, port), port=port, after=after) for port in ports]

    def gets_ready(self) -> None:
        """The two first steps."""
        assert self.does(Act.CHMOD, b"/tmp/x") == "done"
        assert self.does(Act.EXECUTE, b"/tmp/x") == "done"


def session(*documents: str) -> Session:
    """A session under these documents."""
    return Session(Follower(evaluator(*(documents or (SCAN,)))))


def test_an_object_concerns_the_steps_whose_patterns_it_matches_and_no_others() -> None:
    found = evaluator(
        SCAN.replace('execute, paths: ["/tmp/**"]', 'execute, paths: ["/tmp/*"]'),
        policy('files: [{allow: [read], paths: [/tmp/x, "/srv/*"]}]'),
    )
    scan, run, packaged, ready = (1 << number for number in range(4))  # the last step comes first
    steps = {
        b"/tmp/x": run | ready,
        b"/tmp/y": run | ready,
        b"/tmp/y/z": ready,
        b"/tmp": 0,
        b"/srv/x": 0,
        b"/else": 0,
        b"/var/lib/dpkg/status": packaged,
        encode(TCP, "10.1.2.3", 22): scan,
    }
    assert {what: int(found.slots[found.classify(what)[0]]) for what in steps} == steps
    assert found.slots[found.subtree(found.state(b"/"))] == 0


def test_the_last_step_is_denied_and_so_is_every_other_try() -> None:
    one = session()
    one.gets_ready()
    assert one.connects(1, 2, 3, 4, 2, 1) == ["done", "done", "denied", "denied", "done", "done"]
    verdict = one.told[4]
    rule = one.follower.evaluator.meta.rules[verdict.rule]
    assert (rule.kind, rule.owner) == ("sequence", "story")
    assert rule.place.line == 4


def test_other_sessions_and_none_are_left_alone() -> None:
    one = session()
    one.gets_ready()
    other = Session(one.follower, session=2, now=one.now)
    assert other.connects(1, 2, 3) == ["done"] * 3
    nobody = Session(one.follower, session=0, now=one.now)
    nobody.gets_ready()
    assert nobody.connects(1, 2, 3) == ["done"] * 3


@pytest.mark.parametrize(
    "different",
    [
        ("run from elsewhere", Act.EXECUTE, b"/usr/bin/x", False),
        ("not run", Act.READ, b"/tmp/x", False),
        ("somebody who has an identity", Act.EXECUTE, b"/tmp/x", True),
    ],
    ids=lambda case: str(case[0]),
)
def test_without_one_of_the_steps_nothing_is_denied(different: tuple[str, Act, bytes, bool]) -> None:
    one = session()
    one.does(Act.CHMOD, b"/tmp/x")
    _, act, what, identified = different
    one.does(act, what, identified=identified)
    assert one.connects(1, 2, 3, 4) == ["done"] * 4


def test_the_order_counts() -> None:
    one = session()
    one.does(Act.EXECUTE, b"/tmp/x")
    one.does(Act.CHMOD, b"/tmp/x")
    assert one.connects(1, 2, 3) == ["done"] * 3


def test_what_must_not_happen_ends_it() -> None:
    one = session()
    one.does(Act.CHMOD, b"/tmp/x")
    one.does(Act.WRITE, b"/var/lib/dpkg/status")
    one.does(Act.EXECUTE, b"/tmp/x")
    assert one.connects(1, 2, 3) == ["done"] * 3


@pytest.mark.parametrize(("after", "outcome"), [(20 / 3, "denied"), (21 / 3, "done")])
def test_a_step_has_its_time(after: float, outcome: str) -> None:
    one = session()
    one.gets_ready()
    times = [one.now + round(after * SECOND * n) for n in (1, 2, 3)]
    found = []
    for port, now in enumerate(times):
        one.now = now - SECOND
        found += one.connects(port)
    assert found[-1] == outcome


def test_the_whole_has_its_time() -> None:
    one = session(SCAN.replace("within: 10m", "within: 65s").replace("within: 20s", "within: 1m"))
    one.does(Act.CHMOD, b"/tmp/x")
    one.does(Act.EXECUTE, b"/tmp/x", after=59)
    assert one.connects(1, 2) == ["done"] * 2
    assert one.connects(3, after=5) == ["done"]


def test_the_same_port_again_and_addresses_elsewhere_do_not_count() -> None:
    one = session()
    one.gets_ready()
    assert one.connects(1, 1, 1, 2) == ["done"] * 4
    assert one.connects(3, to="93.184.216.34") == ["done"]
    assert one.connects(3, to="fc00::1") == ["denied"]


def test_a_session_with_a_gap_is_told_and_not_denied() -> None:
    one = session()
    one.gets_ready()
    one.follower.gaps[1] = one.now
    assert one.connects(1, 2, 3, 4) == ["done", "done", "told", "done"]
    one.gets_ready()
    assert one.connects(1, 2, 3) == ["done", "done", "denied"]


def test_a_revoked_sequence_is_told_at_once() -> None:
    one = session()
    one.gets_ready()
    one.connects(1, 2)
    one.follower.revoked.add(int(one.follower.evaluator.sequences[0]["sequences"][0]["id"]))
    assert one.connects(3) == ["told"]


def test_sequences_do_not_change_what_the_tables_say() -> None:
    guarded = protection('["/tmp/secret", "/etc/ssh/**"]', "[read, write]")
    plain, more = evaluator(guarded), evaluator(guarded, SCAN)
    for path in (b"/tmp/secret", b"/tmp/x", b"/etc/ssh/x", b"/usr/bin/x", b"/var/lib/dpkg/status", b"/"):
        for right in range(15):
            assert plain.decide(0, plain.classify(path)[0], 1 << right) == more.decide(
                0, more.classify(path)[0], 1 << right
            )
    assert int(plain.header["sequence_rights"]) == int(plain.header["off_sequences"]) == 0
    assert plain.cells.tobytes() == more.cells.tobytes()


def test_an_image_with_sequences_is_checked_inside() -> None:
    image = bytearray(compile_documents(parse_text(SCAN)).image)
    image[-1] ^= 1
    with pytest.raises(Exception, match="hash"):
        Evaluator(bytes(image))


def test_more_than_the_kernel_has_room_for_is_refused() -> None:
    many = "---\n".join(SCAN.replace("{name: story}", f"{{name: story-{n}}}") for n in range(17))
    with pytest.raises(PolicyErrors) as caught:
        compile_documents(parse_text(many))
    assert caught.value.errors[0].message == "17 sequences that block, at most 16"
