"""The kernel programs and the only code that talks to libbpf: maps, rings, layouts."""
