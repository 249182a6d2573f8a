"""The binding to libbpf, on this machine's kernel: everything but LSM hooks, which need a guest."""
