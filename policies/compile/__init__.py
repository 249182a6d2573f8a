"""The compiler: documents to an image, through one automaton and one table of verdicts."""

from policies.compile.compiler import DEFAULT_CAPACITY, Compiled, compile_documents

__all__ = ["DEFAULT_CAPACITY", "Compiled", "compile_documents"]
