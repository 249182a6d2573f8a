"""The glob grammar: text to components and tokens, and what can never match refused.

    *       any bytes within a component            ?       one character but /
    **      whole components, zero or more          [a-z]   one of these characters; [!a-z] none of them
    {a,b}   either; may hold slashes, may nest      \\       the next character literally

`/x/**` is everything below /x, and /x itself for listing. Abstract socket names (`@name`) have no components:
there `*` takes any bytes and `?` any character.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from itertools import takewhile
from typing import Final

from policies.utf8 import Ranges, complement, normalise

MAX_EXPANSIONS: Final = 256
MAX_NESTING: Final = 8
MAX_COMPONENT: Final = 255
SLASH: Final = ord("/")


class PatternError(Exception):
    """A pattern that is malformed or can never match; `offset` is the character it is about."""

    def __init__(self, message: str, offset: int, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.hint = hint


@dataclass(frozen=True, slots=True)
class One:
    """One character of these ranges."""

    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Other:
    """One character that is none of these ASCII bytes.

    A character here is a byte that begins one and all continuation bytes behind it: in UTF-8 just that.
    """

    excluded: frozenset[int]


@dataclass(frozen=True, slots=True)
class Star:
    """Any bytes within the component."""


Token = One | Other | Star
Component = tuple[Token, ...] | None
"""None stands for `**`."""

STAR: Final = Star()
ANY: Final = Other(frozenset({SLASH}))
ANY_ABSTRACT: Final = Other(frozenset())
DOT: Final = One(((0x2E, 0x2E),))


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern that can match. `branches` are its brace expansions."""

    text: str
    branches: tuple[tuple[Component, ...], ...] = field(compare=False, repr=False)
    abstract: bool = False

    def __str__(self) -> str:
        return self.text

    def roots(self) -> tuple[str, ...]:
        """For each branch the path up to its first component that is no plain name."""
        return tuple("/" + "/".join(takewhile(bool, map(literal, branch))) for branch in self.branches)


def literal(component: Component) -> str:
    """The one name that a component matches; empty if it matches others."""
    if component is None:
        return ""
    names = [token.ranges for token in component if isinstance(token, One)]
    if len(names) < len(component) or any(len(each) > 1 or each[0][0] != each[0][1] for each in names):
        return ""
    return "".join(chr(each[0][0]) for each in names)


@dataclass(frozen=True, slots=True)
class _Mark:
    """`/` or `**` while parsing, with the place of it."""

    deep: bool
    offset: int


_Flat = list[tuple[Token | _Mark, int]]


@lru_cache(maxsize=65536)
def parse(text: str) -> Pattern:
    """Parse a path pattern, or an abstract one when it begins with @."""
    abstract = text.startswith("@")
    if not abstract and not text.startswith("/"):
        raise PatternError(
            f'pattern "{text}" is not absolute', 0, f"write /{text}" if text[:1].isalnum() else "begin with /"
        )
    parser = _Parser(text, abstract)
    expansions = parser.parse()
    if abstract:
        return Pattern(text, tuple(_abstract(each, text) for each in expansions), abstract=True)
    return Pattern(text, tuple(dict.fromkeys(_components(each, text) for each in expansions)))


class _Parser:
    """Recursive descent over one pattern, to its brace expansions."""

    def __init__(self, text: str, abstract: bool) -> None:
        self.text = text
        self.abstract = abstract
        self.at = 1 if abstract else 0
        self.depth = 0

    def parse(self) -> list[_Flat]:
        found = self.sequence(nested=False)
        if self.at < len(self.text):
            raise PatternError("} without {", self.at, "write \\} for the character itself")
        return found

    def sequence(self, *, nested: bool) -> list[_Flat]:
        """Everything up to the end, or up to a comma or closing brace of the alternation this stands in."""
        branches: list[_Flat] = [[]]
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == "}" or (char == "," and nested):
                break
            if char == "{":
                choices = self.alternation()
                if len(branches) * len(choices) > MAX_EXPANSIONS:
                    raise PatternError(
                        f"the braces stand for more than {MAX_EXPANSIONS} patterns",
                        self.at - 1,
                        "write several patterns",
                    )
                branches = [left + right for left in branches for right in choices]
                continue
            item = (self.item(char), self.at)
            for branch in branches:
                branch.append(item)
        return branches

    def alternation(self) -> list[_Flat]:
        opening = self.at
        found: list[_Flat] = []
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise PatternError(f"braces nested deeper than {MAX_NESTING}", opening, "write several patterns")
        while True:
            self.at += 1
            found.extend(self.sequence(nested=True))
            if len(found) > MAX_EXPANSIONS:
                raise PatternError(
                    f"the braces stand for more than {MAX_EXPANSIONS} patterns",
                    opening,
                    "write several patterns",
                )
            if self.at >= len(self.text):
                raise PatternError("{ without }", opening, "close it, or write \\{ for the character itself")
            if self.text[self.at] == "}":
                self.at += 1
                self.depth -= 1
                return found

    def item(self, char: str) -> Token | _Mark:
        """One token; leaves `at` behind it."""
        start = self.at
        self.at += 1
        if char == "/" and not self.abstract:
            return _Mark(False, start)
        if char == "*":
            if self.text[self.at : self.at + 1] != "*":
                return STAR
            while self.text[self.at : self.at + 1] == "*":
                self.at += 1
            if self.abstract:
                raise PatternError("** in an abstract name", start, "write *: it takes any bytes here")
            if self.at - start > 2:
                raise PatternError(f"{'*' * (self.at - start)} in a pattern", start, "write ** or *")
            return _Mark(True, start)
        if char == "?":
            return ANY_ABSTRACT if self.abstract else ANY
        if char == "[":
            return self.character_class(start)
        if char == "\\":
            if self.at >= len(self.text):
                raise PatternError("\\ at the end", start, "write \\\\ for the character itself")
            char = self.text[self.at]
            self.at += 1
            if char == "/":
                raise PatternError("\\/ in a pattern", start, "write /: a slash needs no backslash")
        return One(((ord(char), ord(char)),))

    def character_class(self, start: int) -> Token:
        if self.text[self.at : self.at + 1] == "^":
            raise PatternError("[^ in a pattern", start, "write [! to negate, [\\^ for the character itself")
        negated = self.text[self.at : self.at + 1] == "!"
        self.at += negated
        ranges: list[tuple[int, int]] = []
        while True:
            if self.at >= len(self.text):
                raise PatternError("[ without ]", start, "close it, or write \\[ for the character itself")
            if self.text[self.at] == "]":
                break
            low = self.class_character(start)
            high = low
            if self.text[self.at : self.at + 1] == "-" and self.text[self.at + 1 : self.at + 2] not in (
                "]",
                "",
            ):
                self.at += 1
                high = self.class_character(start)
            if high < low:
                raise PatternError(
                    f"the range {chr(low)}-{chr(high)} is empty", start, f"write {chr(high)}-{chr(low)}"
                )
            ranges.append((low, high))
        self.at += 1
        if not ranges:
            raise PatternError(
                "an empty character class matches nothing", start, "write \\[\\] for the characters"
            )
        found = normalise(ranges)
        if negated:
            found = found if self.abstract else normalise([*found, (SLASH, SLASH)])
            if found[-1][1] < 0x80:
                return Other(frozenset(byte for low, high in found for byte in range(low, high + 1)))
            return One(complement(found))
        if not self.abstract and any(low <= SLASH <= high for low, high in found):
            raise PatternError("a character class cannot match /", start, "write {/,x} or two patterns")
        return One(found)

    def class_character(self, start: int) -> int:
        char = self.text[self.at]
        if char == "\\":
            self.at += 1
            if self.at >= len(self.text):
                raise PatternError("[ without ]", start, "close it, or write \\[ for the character itself")
            char = self.text[self.at]
        self.at += 1
        return ord(char)


def _abstract(flat: _Flat, text: str) -> tuple[Component, ...]:
    tokens = tuple(item for item, _ in flat if not isinstance(item, _Mark))
    if not tokens:
        raise PatternError(f'abstract name "{text}" is empty', 0, "write @name, or @* for all of them")
    return (_joined(tokens),)


def _components(flat: _Flat, text: str) -> tuple[Component, ...]:
    """Cut one expansion at its slashes and refuse what no canonical path can be."""
    groups: list[tuple[int, _Flat]] = []
    for entry in flat:
        if isinstance(entry[0], _Mark) and not entry[0].deep:
            groups.append((entry[0].offset, []))
        elif not groups:
            raise PatternError(f'"{text}" has a branch that is not absolute', 0, "begin every branch with /")
        else:
            groups[-1][1].append(entry)
    if len(groups) == 1 and not groups[0][1]:
        return ()
    found: list[Component] = []
    for number, (slash, group) in enumerate(groups):
        if not group:
            if number == len(groups) - 1:
                clean = text.rstrip("/")
                hint = f"write {clean} for the directory itself or {clean}/** for what is below"
                raise PatternError("a canonical path has no slash at its end", slash, hint)
            raise PatternError("a canonical path has no empty component", slash, "write one / instead of //")
        component = _component(group, slash)
        if component is None and found and found[-1] is None:
            raise PatternError("**/** says no more than **", slash, "write ** once")
        found.append(component)
    return tuple(found)


def _component(group: _Flat, slash: int) -> Component:
    deep = [item for item, _ in group if isinstance(item, _Mark)]
    if deep:
        if len(group) == 1:
            return None
        raise PatternError(
            "** stands for whole components", deep[0].offset, "write * within a component, or /**/ around it"
        )
    tokens = _joined(tuple(item for item, _ in group if not isinstance(item, _Mark)))
    if len(tokens) <= 2 and all(token == DOT for token in tokens):
        dots = "." * len(tokens)
        raise PatternError(
            f'a canonical path has no component "{dots}"', slash, "write the path that it leads to"
        )
    least = sum(_least(token) for token in tokens)
    if least > MAX_COMPONENT:
        raise PatternError(
            f"no file name has more than {MAX_COMPONENT} bytes", slash, "use * for a part of it"
        )
    return tokens


def _least(token: Token) -> int:
    """The fewest bytes that a token matches."""
    if isinstance(token, One):
        return len(chr(token.ranges[0][0]).encode())
    return 0 if token == STAR else 1


def _joined(tokens: tuple[Token, ...]) -> tuple[Token, ...]:
    """Adjacent stars, which braces can bring about, are one."""
    return tuple(
        token for at, token in enumerate(tokens) if token != STAR or at == 0 or tokens[at - 1] != STAR
    )
