"""Guests: real kernels under QEMU as an ordinary tool (see README.md in this folder)."""
