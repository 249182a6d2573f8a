"""The agent and the command line: life cycle, applying images, the gRPC API, doctor."""
