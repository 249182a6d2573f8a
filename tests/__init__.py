"""Tests: unit, guest (real kernels), bench."""
