"""Root without the agent's identity tampers with the gate, in every way we know: data, and its runner."""
