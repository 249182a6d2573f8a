"""The references in docs/: `python -m policies.reference` writes them, `--check` finds drift."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from policies import nodes, pattern, shape
from policies.checks import VALIDATORS
from policies.compile import DEFAULT_CAPACITY
from policies.compile.assemble import CAPABILITIES
from policies.compile.dfa import MAX_STATES
from policies.compile.plan import MAX_RULES
from policies.image import MAX_CELLS, MAX_ROWS
from policies.parse import LIBRARY
from policies.shape import Schema
from policies.special import TABLE

TEMPLATES: Final = Path(__file__).parent
DOCS: Final = Path(__file__).parent.parent / "docs"
PAGES: Final = {
    "reference.md.in": DOCS / "policy-reference.md",
    "sequence-reference.md.in": DOCS / "sequence-reference.md",
}
"""Template -> page."""

RIGHTS: Final = (
    (
        "read",
        "reading the content; of a directory, listing it. Allows an identified library to be mapped as code",
    ),
    (
        "write",
        "any change of content: opening for writing, truncating, being copied to. Includes `append`",
    ),
    ("append", "adding only: opened with O_APPEND, which cannot be taken back"),
    ("create", "a new name of any kind but devices, also as the target of a rename or link"),
    ("delete", "unlink, rmdir, and being replaced by a rename"),
    ("rename", "on the old name; the new one needs `create`, and `delete` if it replaces something"),
    ("link", "on the old name; the new one needs `create`"),
    ("attributes", "mode, owner, times, extended attributes, ACLs, inode flags"),
    ("execute", "running it as a program; allowed under `exec` only, denied under `files`"),
    ("map-exec", "mapping it as code; by itself without reading"),
    ("ioctl", "ioctl on devices"),
    ("mount", "mounting over it; in a Protection only"),
    ("connect", "addressing a socket; under `network`, or in a Protection of its path"),
    ("listen", "offering a socket; under `network`, or in a Protection of its path"),
)


def render(name: str) -> str:
    """The whole page that a template becomes."""
    template = (TEMPLATES / name).read_text(encoding="utf-8")
    return re.sub(r"@@(\w+)(?: ([^@]+))?@@", _fill, template)


def _fill(match: re.Match[str]) -> str:
    name, argument = match.group(1), match.group(2)
    if name == "FIELDS":
        return "\n".join(_fields(argument))
    return "\n".join(_SECTIONS[name]())


def _event_fields() -> Iterator[str]:
    names = shape.resolve("sequence.json#/definitions/field")["enum"]
    yield ", ".join(f"`{name}`" for name in names)


def _fields(reference: str) -> Iterator[str]:
    """A table of the fields; of a document, those of its spec."""
    schema = shape.resolve(reference)
    yield schema["description"]
    yield ""
    spec = schema.get("properties", {}).get("spec")
    yield from _table(spec if spec and "properties" in spec else schema)


def _table(schema: Schema) -> Iterator[str]:
    yield "| field | is | means |"
    yield "|---|---|---|"
    required = schema.get("required", ())
    for name, each in schema["properties"].items():
        full = shape.resolve(each["$ref"]) if "$ref" in each else each
        must = " (required)" if name in required else ""
        yield f"| `{name}`{must} | {_is(full)} | {_cell(full.get('description', ''))} |"


def _is(schema: Schema) -> str:
    kind = str(schema.get("type", "")) or " or ".join(str(each.get("type")) for each in schema["anyOf"])
    if "enum" in schema and len(schema["enum"]) <= 5:
        return ", ".join(f"`{word}`" for word in schema["enum"])
    if "const" in schema:
        value = schema["const"]
        return f"`{str(value).lower() if isinstance(value, bool) else value}`"
    if kind == "array":
        example = schema.get("x-example")
        return f"list, like `{_cell(example)}`" if example else "list"
    if kind == "object" and len(schema.get("properties", ())) > 8:
        return "fields and values"
    if kind == "object" and "properties" not in schema:
        return "names and fields"
    if kind == "object":
        return "one of " + ", ".join(f"`{name}`" for name in schema["properties"])
    return {"boolean": "`true`, `false`", "string": "text"}.get(kind, kind)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _rights() -> Iterator[str]:
    yield "| right | what it is |"
    yield "|---|---|"
    for word, meaning in RIGHTS:
        yield f"| `{word}` | {meaning} |"


def _special() -> Iterator[str]:
    yield "| word | covers | hooks | capabilities that the kernel asks for |"
    yield "|---|---|---|---|"
    for word, covers in TABLE.items():
        hooks, capabilities = (
            ", ".join(f"`{each}`" for each in of) for of in (covers.hooks, covers.capabilities)
        )
        mighty = " **(amounts to the whole host)**" if covers.total else ""
        yield f"| `{word.word}` | {covers.what}{mighty} | {hooks} | {capabilities} |"


def _base() -> Iterator[str]:
    text = (LIBRARY / "base.yaml").read_text(encoding="utf-8")
    yield "```yaml"
    yield text[text.index("  files:") :].rstrip()
    yield "```"


def _capabilities() -> Iterator[str]:
    yield ", ".join(f"`{name}`" for name in CAPABILITIES)


def _checks() -> Iterator[str]:
    yield "| finding | what it means |"
    yield "|---|---|"
    for validator in VALIDATORS:
        codes = ", ".join(f"`{code}`" for code in validator.codes)
        yield f"| {codes} | {_cell(validator.meaning)} |"


def _limits() -> Iterator[str]:
    yield "| what | limit |"
    yield "|---|---|"
    yield f"| a file | {nodes.MAX_BYTES >> 20} MiB, {nodes.MAX_NODES} values, {nodes.MAX_DEPTH} levels |"
    alternatives = f"{pattern.MAX_EXPANSIONS} alternatives, nested {pattern.MAX_NESTING} deep"
    yield f"| braces in a pattern | {alternatives} |"
    yield f"| rules | {MAX_RULES} |"
    yield f"| subjects | {MAX_ROWS} |"
    yield f"| different answers (cells) | {MAX_CELLS} |"
    yield f"| states of the automaton | {MAX_STATES}, less with a small image |"
    yield f"| an image | {DEFAULT_CAPACITY >> 20} MiB, unless the agent is told otherwise |"


_SECTIONS: Final[dict[str, Callable[[], Iterator[str]]]] = {
    "EVENT_FIELDS": _event_fields,
    "RIGHTS": _rights,
    "SPECIAL": _special,
    "BASE": _base,
    "CAPABILITIES": _capabilities,
    "CHECKS": _checks,
    "LIMITS": _limits,
}


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or with --check say whether they are up to date."""
    late = 0
    for name, output in PAGES.items():
        page = render(name)
        if "--check" in arguments:
            same = output.exists() and output.read_text(encoding="utf-8") == page
            late += not same
            print(
                f"{output.name}: {'up to date' if same else 'out of date: run python -m policies.reference'}"
            )
        else:
            output.write_text(page, encoding="utf-8")
            print(f"{output} written")
    return 1 if late else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
