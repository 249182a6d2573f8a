"""The policy language: schema, model, checks, compiler, evaluator. Pure: no kernel, no I/O but files.

What it offers is imported when it is first asked for: the agent needs the image's layout and no compiler.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from policies.compile import Compiled, compile_documents
    from policies.errors import Place, PolicyError, PolicyErrors
    from policies.evaluate import Evaluator, Verdict
    from policies.model import Documents
    from policies.operations import Operations
    from policies.parse import load_paths, parse_text

__all__ = [
    "Compiled",
    "Documents",
    "Evaluator",
    "Operations",
    "Place",
    "PolicyError",
    "PolicyErrors",
    "Verdict",
    "compile_documents",
    "load_paths",
    "parse_text",
]

_HOMES = {
    "compile": ("Compiled", "compile_documents"),
    "errors": ("Place", "PolicyError", "PolicyErrors"),
    "evaluate": ("Evaluator", "Verdict"),
    "model": ("Documents",),
    "operations": ("Operations",),
    "parse": ("load_paths", "parse_text"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"policies.{_HOME[name]}"), name)
