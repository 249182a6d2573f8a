"""The policy language: schema, model, checks, compiler, evaluator. Pure: no kernel, no I/O but files."""
