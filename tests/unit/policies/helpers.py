"""Short ways to policies, images and operations."""

from __future__ import annotations

import textwrap

from policies import Compiled, Evaluator, Operations, compile_documents, parse_text
from policies.errors import PolicyError, PolicyErrors


def policy(
    body: str, *, subject: str = "{identity: test/app}", name: str = "app", mode: str = "enforce"
) -> str:
    """A Policy document with `body` as the rest of its spec; no base policy unless the body says so."""
    head = f"""\
        apiVersion: menshen/v1
        kind: Policy
        metadata: {{name: {name}}}
        spec:
          subject: {subject}
          mode: {mode}
    """
    base = "" if "base:" in body else "  base: false\n"
    return textwrap.dedent(head) + base + textwrap.indent(textwrap.dedent(body).strip("\n"), "  ") + "\n"


def protection(
    objects: str, operations: str, *, only: str = "[]", mode: str = "enforce", name: str = "guard"
) -> str:
    """A Protection document."""
    return textwrap.dedent(
        f"""\
        apiVersion: menshen/v1
        kind: Protection
        metadata: {{name: {name}}}
        spec:
          objects: {objects}
          operations: {operations}
          only: {only}
          mode: {mode}
        """
    )


def together(*documents: str) -> str:
    """One file with several documents."""
    return "---\n".join(documents)


def compiled(*documents: str) -> Compiled:
    """Their image."""
    return compile_documents(parse_text(together(*documents)))


def evaluator(*documents: str) -> Evaluator:
    """An evaluator of their image."""
    return Evaluator(compiled(*documents).image)


def operations(*documents: str, subject: str | None = "test/app") -> Operations:
    """System calls of a subject under them."""
    found = evaluator(*documents)
    return Operations(found, found.row(subject))


def faults(text: str) -> list[PolicyError]:
    """What is wrong with a text; nothing if it is fine."""
    try:
        parse_text(text)
    except PolicyErrors as group:
        return list(group.errors)
    return []
