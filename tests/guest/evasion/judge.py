"""What a case had to do, and what it did."""

from __future__ import annotations

import errno
from typing import Final

from bpf_lsm.events import Event
from policies import Evaluator
from policies.compile.assemble import CAPABILITIES
from policies.image import Builtin, Right, Special
from policies.names import identity_id
from tests.guest.evasion import policies
from tests.guest.evasion.cases import Case
from tests.guest.evasion.policies import IDENTITIES, PROBE
from tests.guest.evasion.stage import Played, Side

_BROKEN: Final = 1000


def problem(played: Played, evaluator: Evaluator) -> str:
    """What is not as the catalogue says; empty if all is."""
    case, variant = played.case, played.variant
    if not _allowed(case, played.yes):
        return f"the allowed side ended with {_word(played.yes.result)}{_tell(played.yes, evaluator)}"
    if case.is_open(variant):
        if _allowed(case, played.no):
            return ""
        return f"it is not open any more: {_word(played.no.result)}{_tell(played.no, evaluator)}"
    errors = case.denial_in(variant).errors
    if -played.no.result not in errors:
        wanted = errno.errorcode[errors[0]]
        return (
            f"the denied side ended with {_word(played.no.result)}, not {wanted}{_tell(played.no, evaluator)}"
        )
    if not played.no.denials:
        return "denied by nobody of ours"
    if wrong := _wrong(case, variant, played.no.denials[-1], evaluator):
        return f"denied by another rule: {wrong}{_tell(played.no, evaluator)}"
    return ""


def _allowed(case: Case, side: Side) -> bool:
    return side.result >= 0 or -side.result in case.natural


def _wrong(case: Case, variant: str, event: Event, evaluator: Evaluator) -> str:
    """Why the event is not of the rule that the case names."""
    denial = case.denial_in(variant)
    rule = evaluator.meta.rules[event.rule]
    who = case.denied_to(variant)
    subjects = {identity_id(IDENTITIES[who]) if who in IDENTITIES else 0, identity_id(PROBE), 0}
    if event.subject not in subjects:
        return "of another subject"
    if denial.kind == "builtin":
        return "" if event.rule == Builtin[denial.what.upper().replace("-", "_")] else "not the builtin one"
    if denial.kind == "special":
        word = Special[denial.what.upper().replace("-", "_")]
        return "" if (rule.kind, event.object_class) == ("special", word) else "not of that special right"
    if denial.kind == "capability":
        number = CAPABILITIES.index(denial.what)
        return "" if (rule.kind, event.detail) == ("capabilities", number) else "not of that capability"
    if denial.kind == "jit":
        return "" if rule.kind == "jit" else "not of jit"
    if event.right != Right[denial.what.upper().replace("-", "_")]:
        return "of another right"
    if case.by == "protection":
        if rule.kind == "protection" and not event.path:
            return ""  # a move whose old place nobody sees: any Protection of mounts denies it
        return "" if rule.owner == policies.protection_name(case) else "not of its Protection"
    return "" if rule.kind not in ("protection", "builtin") else "not of a policy"


def _word(result: int) -> str:
    if result >= 0:
        return "success"
    if -result > _BROKEN:
        number = -result - _BROKEN
        return f"a step before it that failed ({errno.errorcode.get(number, number)})"
    return errno.errorcode.get(-result, str(result))


def _tell(side: Side, evaluator: Evaluator) -> str:
    told = [
        f"{event.operation.word} {event.right} {event.path!r} by "
        f"{evaluator.meta.rules[event.rule].kind} of {evaluator.meta.rules[event.rule].owner}"
        for event in side.denials
    ]
    return f" [{'; '.join(told)}]" if told else " [no denial]"
