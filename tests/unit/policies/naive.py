"""The language's meaning, spelt out on the model without tables or automata: slow, plain, to compare with.

Patterns are translated to regular expressions from their text; verdicts are found by asking every rule.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import cache

from policies.endpoint import EndpointPattern
from policies.errors import Place
from policies.image import Right
from policies.model import (
    Documents,
    Effect,
    ExecRule,
    FileRule,
    Mode,
    NetworkRule,
    Policy,
    Protection,
    Rule,
    Word,
)
from policies.pattern import Pattern

FULL = "full"
LISTING = "listing"

READ_LIKE = {Right.READ, Right.LIST}


@cache
def translate(text: str) -> tuple[re.Pattern[bytes], ...]:
    """A pattern for what the text matches, and one for what it matches for listing only."""
    alternatives = _expand(text)
    abstract = text.startswith("@")
    full = [_regex(each, abstract) for each in alternatives]
    listing = [
        _regex(each.removesuffix("/**") or "/", abstract) for each in alternatives if each.endswith("/**")
    ]
    return (
        re.compile(b"|".join(b"(?:" + each + b")" for each in full), re.DOTALL),
        re.compile(b"|".join(b"(?:" + each + b")" for each in listing) or b"(?!)", re.DOTALL),
    )


def _expand(text: str) -> list[str]:
    """Brace expansion, innermost braces first."""
    opening = -1
    at = 0
    while at < len(text):
        char = text[at]
        if char == "\\":
            at += 2
            continue
        if char == "[":
            at = _class_end(text, at)
        elif char == "{":
            opening = at
        elif char == "}":
            before, inner, after = text[:opening], text[opening + 1 : at], text[at + 1 :]
            return [whole for choice in _commas(inner) for whole in _expand(before + choice + after)]
        at += 1
    return [text]


def _class_end(text: str, at: int) -> int:
    while text[at] != "]":
        at += 2 if text[at] == "\\" else 1
    return at


def _commas(text: str) -> list[str]:
    parts, start, at = [], 0, 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == "[":
            at = _class_end(text, at)
        elif text[at] == ",":
            parts.append(text[start:at])
            start = at + 1
        at += 1
    return [*parts, text[start:]]


def _regex(text: str, abstract: bool) -> bytes:
    one = _other("" if abstract else "/")
    any_bytes = b"[\x00-\xff]*" if abstract else b"[^/]*"
    found, at = b"", 0
    while at < len(text):
        if not abstract and text.startswith("/**/", at):
            found += b"/(?:[^/]+/)*"
            at += 4
        elif not abstract and text[at:] == "/**":
            found += b"/[\x00-\xff]+"
            at += 3
        elif text[at] == "*":
            found += any_bytes
            at += 1
        elif text[at] == "?":
            found += one
            at += 1
        elif text[at] == "[":
            end = _class_end(text, at)
            inner = text[at + 1 : end]
            negated, inner = inner.startswith("!"), re.sub(r"[\[^]", r"\\\g<0>", inner.removeprefix("!"))
            if negated and inner.isascii():
                found += _other(inner + ("" if abstract else "/"))
            else:
                found += _characters(f"[^{inner}/]" if negated else f"[{inner}]")
            at = end + 1
        else:
            at += text[at] == "\\"
            found += re.escape(text[at].encode())
            at += 1
    return found


def _other(excluded: str) -> bytes:
    """A character that is none of these: a byte that begins one, and the continuation bytes behind it."""
    return b"[^" + excluded.encode() + b"\\x80-\\xbf][\\x80-\\xbf]*"


@cache
def _characters(expression: str) -> bytes:
    """A class of characters as an expression over their UTF-8 bytes, for ASCII and a sample."""
    chosen = re.compile(expression)
    singles = bytes(code for code in range(0x80) if chosen.fullmatch(chr(code)))
    several = [char.encode() for char in SAMPLE if chosen.fullmatch(char)]
    parts = [re.escape(each) for each in several]
    if singles:
        parts.append(b"[" + b"".join(re.escape(bytes([each])) for each in singles) + b"]")
    return b"(?:" + (b"|".join(parts) or b"(?!)") + b")"


SAMPLE = "äéß\u07ff\u0800門神\ud7ff\ue000\uffee\U00010000\U0001f6e1\U0010ffff"
"""Characters of two to four bytes, at the edges of their lengths: all that tests use."""


def matches(text: str, what: bytes) -> str:
    """FULL, LISTING or nothing."""
    full, listing = translate(text)
    if full.fullmatch(what):
        return FULL
    return LISTING if listing.fullmatch(what) else ""


def matches_endpoint(pattern: EndpointPattern, what: bytes) -> bool:
    """Whether an encoded endpoint is in the set."""
    if what[:1] not in (b"\x04", b"\x06"):
        return False
    protocol, port, address = what[1], int.from_bytes(what[2:4], "big"), ipaddress.ip_address(what[4:])
    wanted = {"tcp": 6, "udp": 17, "sctp": 132, "icmp": 1, "any": protocol}[pattern.protocol]
    if protocol != wanted:
        return False
    if pattern.ports and not any(low <= port <= high for low, high in pattern.ports):
        return False
    if pattern.network is None:
        return True
    return address.version == pattern.network.version and address in pattern.network


@dataclass(frozen=True)
class Answer:
    """A verdict with its rule's place; None for what no rule had to allow."""

    allowed: bool
    reported: bool
    place: Place | None


BITS: dict[Word, set[Right]] = {
    Word.READ: {Right.READ, Right.LIST},
    Word.WRITE: {Right.WRITE, Right.APPEND},
    **{word: {Right[word.name]} for word in Word if word not in (Word.READ, Word.WRITE)},
}


def _rights(words: frozenset[Word]) -> set[Right]:
    return {bit for word in words for bit in BITS[word]}


def _match(rule: Rule | Protection, what: bytes) -> str:
    patterns: tuple[Pattern | None, ...]
    if isinstance(rule, NetworkRule):
        if rule.endpoint is not None:
            return FULL if matches_endpoint(rule.endpoint, what) else ""
        patterns = (rule.unix,)
    else:
        patterns = rule.objects if isinstance(rule, Protection) else rule.paths
    if what[:1] in (b"\x04", b"\x06"):
        return ""
    found = {matches(str(pattern), what) for pattern in patterns}
    return FULL if FULL in found else LISTING if LISTING in found else ""


def _said(rule: Rule | Protection) -> set[Right]:
    if isinstance(rule, Protection):
        return _rights(rule.operations)
    if isinstance(rule, ExecRule):
        return {Right.EXECUTE}
    return _rights(rule.rights if isinstance(rule, FileRule) else frozenset({rule.action}))


def _applies(rule: Rule | Protection, what: bytes) -> set[Right]:
    """The rights that the rule speaks about here."""
    how = _match(rule, what)
    if not how:
        return set()
    return _said(rule) if how == FULL else _said(rule) & {Right.LIST}


def _allows(rule: Rule) -> bool:
    return isinstance(rule, ExecRule) or rule.effect is Effect.ALLOW


def policy_of(documents: Documents, subject: str | None) -> Policy | None:
    """The policy of a subject."""
    return next((each for each in documents.policies if each.subject.identity == (subject or "")), None)


def decide(
    documents: Documents,
    base: tuple[FileRule, ...],
    subject: str | None,
    what: bytes,
    right: Right,
    *,
    foreign: bool = False,
) -> Answer:
    """Whether the subject has the right on `what`, by asking every rule."""
    policy = policy_of(documents, subject)
    rules: list[Rule] = []
    if policy is not None:
        rules = [*policy.rules, *(base if policy.base else ())]
    denials = _denials(documents, (policy, rules), subject, what, right, foreign=foreign)
    enforced = [place for mode, place in denials if mode is Mode.ENFORCE]
    audited = [place for mode, place in denials if mode is Mode.AUDIT]
    allowing = [rule for rule in rules if _allows(rule) and _grants(rule, what, right)]
    allowed = policy is None or right is Right.MOUNT or bool(allowing)
    if enforced:
        return Answer(allowed=False, reported=True, place=enforced[0])
    if not allowed and policy is not None and policy.mode is Mode.ENFORCE:
        return Answer(allowed=False, reported=True, place=policy.place)
    if audited:
        return Answer(allowed=True, reported=True, place=audited[0])
    if not allowed and policy is not None:
        return Answer(allowed=True, reported=True, place=policy.place)
    first = allowing[0].place if allowing and policy is not None else None
    return Answer(allowed=True, reported=False, place=first)


def _grants(rule: Rule, what: bytes, right: Right) -> bool:
    rights = _applies(rule, what)
    return right in rights or (right is Right.MAP_EXEC and Right.READ in rights)


def _denials(
    documents: Documents,
    of: tuple[Policy | None, list[Rule]],
    subject: str | None,
    what: bytes,
    right: Right,
    *,
    foreign: bool,
) -> list[tuple[Mode, Place]]:
    """Explicit denials in their order; `of` is the subject's policy and its rules."""
    policy, rules = of
    found: list[tuple[Mode, Place]] = []
    by_reading = False
    if right is Right.MAP_EXEC and policy is not None:
        allows = [_applies(rule, what) for rule in rules if _allows(rule)]
        by_reading = any(Right.READ in each for each in allows) and not any(
            Right.MAP_EXEC in each for each in allows
        )
    for protection in () if foreign else documents.protections:
        if subject is not None and any(each.identity == subject for each in protection.only):
            continue
        rights = _applies(protection, what)
        if right in rights or (by_reading and Right.READ in rights):
            found.append((protection.mode, protection.place))
    for rule in rules:
        if isinstance(rule, ExecRule) or rule.effect is Effect.ALLOW or policy is None:
            continue
        rights = _applies(rule, what)
        if right in rights or (by_reading and Right.READ in rights):
            found.append((rule.mode or policy.mode, rule.place))
    return found
