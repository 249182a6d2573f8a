"""docs/rules.md: `python -m detect.rules.page` makes it of rules.md.in, the fields and the shipped rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from detect.rules.alerts import PER_BATCH
from detect.rules.convert import COMPARABLE
from detect.rules.fields import CATEGORIES, MENSHEN, OWN, Category, Field
from detect.rules.library import shipped
from detect.rules.model import Rule

TEMPLATE: Final = Path(__file__).with_name("rules.md.in")
OUTPUT: Final = Path(__file__).resolve().parents[2] / "docs/rules.md"
NAMED: Final = frozenset({"exe", "comm", "args", "parent_exe", "parent_args"})
"""Columns that depend on what a program is called or called with."""


def render() -> str:
    """The page."""
    page = TEMPLATE.read_text(encoding="utf-8")
    for name, section in _SECTIONS.items():
        page = page.replace(f"@{name}@", section())
    return page


def _table(heading: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(heading), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _categories() -> str:
    return _table(("category", "types", "when"), (_category(name, each) for name, each in CATEGORIES.items()))


def _category(name: str, category: Category) -> tuple[str, str, str]:
    types = ", ".join(f"`{kind.word}`" for kind in sorted(category.types))
    return f"`{name}`", types, category.meaning + ("; it succeeded" if category.succeeded else "")


def _fields() -> str:
    found: dict[tuple[str, str], list[str]] = {}
    for name, category in {**CATEGORIES, "service: menshen": MENSHEN}.items():
        for field in category.fields.values():
            if OWN.get(field.name) is not field:
                found.setdefault((field.name, _meaning(field)), []).append(name)
    every = len(CATEGORIES) + 1
    rows = (
        (f"`{name}`", meaning, "all" if len(where) == every else ", ".join(f"`{each}`" for each in where))
        for (name, meaning), where in found.items()
    )
    return _table(("field", "what it is", "category"), rows)


def _meaning(field: Field) -> str:
    return f"{field.meaning} (`{field.column}`)"


def _own() -> str:
    derived = [field for field in OWN.values() if field.name != field.column]
    return _table(("field", "what it is"), ((f"`{field.name}`", field.meaning) for field in derived))


def _shipped() -> str:
    parts = []
    by_file: dict[str, list[Rule]] = {}
    for rule in shipped():
        by_file.setdefault(Path(rule.place.rpartition(":")[0]).stem, []).append(rule)
    for name, rules in by_file.items():
        rows = (
            (f"`{rule.name}`", rule.level.name.lower(), rule.title, ", ".join(rule.false_positives))
            for rule in rules
        )
        heading = name.replace("-", " ").capitalize()
        parts.append(f"### {heading}\n\n{_table(('rule', 'level', 'what it sees', 'also seen'), rows)}")
    return "\n\n".join(parts)


def _free() -> str:
    return str(sum(not NAMED & {field.column for field in rule.fields()} for rule in shipped()))


_SECTIONS: Final[dict[str, Callable[[], str]]] = {
    "ALERTS": lambda: str(PER_BATCH),
    "CATEGORIES": _categories,
    "FIELDS": _fields,
    "OWN": _own,
    "COMPARABLE": lambda: ", ".join(f"`{name}`" for name in sorted(COMPARABLE)),
    "COUNT": lambda: str(len(shipped())),
    "FREE": _free,
    "SHIPPED": _shipped,
}

if __name__ == "__main__":
    OUTPUT.write_text(render(), encoding="utf-8")
    print(f"{OUTPUT} written")
