"""The policy language: schema, model, checks, compiler, evaluator. Pure: no kernel, no I/O but files."""

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
