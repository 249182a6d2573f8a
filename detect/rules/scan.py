"""Many text tests of one value at once: a set of exact texts, and hyperscan for all that has wildcards.

Hyperscan only says which tests may be true; each is then asked itself. So it does not matter what hyperscan
makes of a construct, as long as it finds no less than the test does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from detect.rules.values import ONE, Compare, Has, Test, Text, Wild, Within

_DOUBTFUL: Final = re.compile(rb"\\[pPCQ]|\\x\{|\(\?(?!:)")
"""What hyperscan and RE2 may read differently: such an expression is asked itself, of every value. So is one
for several lines."""


class Scanner:
    """The tests of one field, by number. `verdicts` gives a bit for each test that a text passes."""

    def __init__(self, tests: Sequence[Test]) -> None:
        self.tests = tuple(tests)
        self._equal: dict[bytes, int] = {}
        self._equal_cased: dict[bytes, int] = {}
        self._always: list[int] = []
        self._if_there = 0
        self.empty = sum(1 << bit for bit, test in enumerate(tests) if test.matches(None))
        """The verdict on what an event does not have."""
        expressions: list[tuple[bytes, int, int]] = []
        for bit, test in enumerate(tests):
            if isinstance(test, Text) and (literal := test.literal) is not None:
                table = self._equal_cased if test.cased else self._equal
                key = literal if test.cased else literal.lower()
                table[key] = table.get(key, 0) | 1 << bit
            elif isinstance(test, Has):
                self._if_there |= test.there << bit
            elif isinstance(test, (Compare, Within)):
                pass  # no text is a number or an address
            elif isinstance(test, Text):
                expressions.append((_expression(test), bit, _flags("s" if test.cased else "is")))
            elif "m" in test.flags or _DOUBTFUL.search(test.source):
                self._always.append(bit)
            else:
                expressions.append((test.source, bit, _flags(test.flags)))
        self._database = self._compile(expressions) if expressions else None
        self._found: list[int] = []

    def __getstate__(self) -> dict[str, Any]:
        """With the database as bytes: who gets it does without the memory that compiling takes."""
        import hyperscan  # noqa: PLC0415

        database = None if self._database is None else hyperscan.dumpb(self._database)
        return {**self.__dict__, "_database": database}

    def __setstate__(self, state: dict[str, Any]) -> None:
        import hyperscan  # noqa: PLC0415

        self.__dict__.update(state)
        if self._database is not None:
            self._database = hyperscan.loadb(self._database, hyperscan.HS_MODE_BLOCK)
            self._database.scratch = hyperscan.Scratch(self._database)

    def _compile(self, expressions: list[tuple[bytes, int, int]]) -> Any:
        """A database of all that hyperscan understands; the rest is asked of every value."""
        import hyperscan  # noqa: PLC0415

        common = hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_ALLOWEMPTY
        while expressions:
            database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
            sources, bits, flags = zip(*expressions, strict=True)
            try:
                database.compile(
                    expressions=list(sources),
                    ids=list(bits),
                    elements=len(expressions),
                    flags=[each | common for each in flags],
                )
            except hyperscan.error as error:
                kept = [each for each in expressions if _understood(each)]
                if len(kept) == len(expressions):
                    raise RuntimeError(f"hyperscan: {error}") from error
                self._always += [each[1] for each in expressions if each not in kept]
                expressions = kept
                continue
            return database
        return None

    def _note(self, number: int, _start: int, _end: int, _flags: int, _context: object) -> None:
        self._found.append(number)

    def verdict(self, value: bytes) -> int:
        """A bit for each test that this value passes."""
        if not value:
            return self.empty
        bits = self._if_there | self._equal.get(value.lower(), 0) | self._equal_cased.get(value, 0)
        if self._database is not None:
            self._database.scan(value, match_event_handler=self._note)
            if self._found:
                for number in self._found:
                    if self.tests[number].matches(value):
                        bits |= 1 << number
                self._found.clear()
        for number in self._always:
            if self.tests[number].matches(value):
                bits |= 1 << number
        return bits


def _understood(expression: tuple[bytes, int, int]) -> bool:
    import hyperscan  # noqa: PLC0415

    source, bit, flags = expression
    try:
        hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK).compile(
            expressions=[source], ids=[bit], elements=1, flags=[flags | hyperscan.HS_FLAG_ALLOWEMPTY]
        )
    except hyperscan.error:
        return False
    return True


def _flags(flags: str) -> int:
    import hyperscan  # noqa: PLC0415

    caseless, dot_all = "i" in flags, "s" in flags
    return int(caseless * hyperscan.HS_FLAG_CASELESS | dot_all * hyperscan.HS_FLAG_DOTALL)


def _expression(test: Text) -> bytes:
    """A pattern with wildcards for hyperscan."""
    parts = list(test.parts)
    start = b"" if parts[0] is Wild.ANY else b"^"
    # `$` also stands before a newline at the end: one more to be asked, none less
    end = b"" if parts[-1] is Wild.ANY else b"$"
    middle = parts[parts[0] is Wild.ANY : len(parts) - (parts[-1] is Wild.ANY and len(parts) > 1)]
    source = b""
    for part in middle:
        if isinstance(part, bytes):
            source += b"".join(b"\\x%02x" % byte for byte in part)
        else:
            source += ONE if part is Wild.ONE else b"[\\x00-\\xff]*"
    return start + source + end
