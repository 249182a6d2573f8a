"""Tests of the policy language, its compiler and its evaluator."""
