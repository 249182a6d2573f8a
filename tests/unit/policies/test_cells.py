"""Cells: what stands for several answers."""

from __future__ import annotations

from policies.compile.cells import ALLOWED, AUDITED_DENY, ENFORCED_DENY, N_RIGHTS, Cells, key, plain
from policies.image import Right

WAIVER = 1 << Right.WAIVE_MAP_UNSIGNED
SELF_ONLY = 1 << Right.EXEC_AS_SELF


def test_the_answer_for_two_is_the_strictest_of_each_right_with_what_both_waive() -> None:
    cells = Cells()
    allowed, audited, denied = key(ALLOWED, 5), key(AUDITED_DENY, 6), key(ENFORCED_DENY, 7)
    rest = (allowed,) * (N_RIGHTS - 2)
    one = cells.number(plain((allowed, denied, *rest), WAIVER | SELF_ONLY))
    other = cells.number(plain((audited, allowed, *rest), SELF_ONLY))
    both = cells.combine(one, other)
    assert cells.combine(other, one) == both
    cell = cells.cells[both]
    assert cell.keys == (audited, denied, *rest)
    assert cell.properties == SELF_ONLY
    assert (cell.denied, cell.enforce) == (0b11, 0b10)
    assert cell.any == cells.cells[one].any | cells.cells[other].any
    assert cells.combine(one, one) == one
