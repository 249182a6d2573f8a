"""Tests that need no kernel and no guest."""
