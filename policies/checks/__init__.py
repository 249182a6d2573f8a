"""Checks of compiled policies: each validator looks for one thing; what it finds are issues with a place."""

from __future__ import annotations

from collections.abc import Collection

from policies.checks.issue import Issue, Severity, Subject, Validator
from policies.checks.lint import LINTERS
from policies.checks.lockout import lockouts
from policies.checks.overlaps import OVERLAPS
from policies.checks.sequences import SEQUENCES
from policies.compile import Compiled
from policies.evaluate import Evaluator

VALIDATORS: tuple[Validator, ...] = (lockouts, *LINTERS, *OVERLAPS, *SEQUENCES)

__all__ = ["VALIDATORS", "Issue", "Severity", "Validator", "check"]


def check(compiled: Compiled, known: Collection[str] | None = None) -> list[Issue]:
    """Everything that is worth a word, errors first, then by place.

    Errors are lock-outs, to be refused unless forced. `known` are the identities that the host can vouch for;
    any other counts as unidentified (None: it can vouch for all).
    """
    subject = Subject(compiled, Evaluator(compiled.image), known)
    found = {issue: None for validator in VALIDATORS for issue in validator.run(subject)}
    return sorted(
        found, key=lambda issue: (issue.severity.value, issue.place.path, issue.place.line, issue.code)
    )
