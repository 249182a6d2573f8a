"""The agent and the command line: life cycle, applying images, the gRPC API, doctor.

`agent/` is what lives, `commands/` one command each, `api/` what they speak. Nothing here decides an access.
"""

__version__ = "0.1.0"
