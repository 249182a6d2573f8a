"""The agent and the command line: life cycle, applying images, the gRPC API, doctor.

`agent/` is what lives, `commands/` one command each, `api/` what they speak. Nothing here decides an access.
"""

from importlib import metadata


def version() -> str:
    """The version of the installed distribution."""
    try:
        return metadata.version("menshen")
    except metadata.PackageNotFoundError:
        return "0 (not installed)"
