"""A subject that may do everything that a Policy can allow, and the script that becomes it."""

from __future__ import annotations

from typing import Final

from policies.compile.assemble import CAPABILITIES
from policies.image import Special

IDENTITY: Final = "test/conformance"
SUITE: Final = "/opt/conformance/suite"
SCRIPT: Final = """\
#!/bin/bash
# Whatever it runs, and all that comes of it, is one subject.
exec "$@"
"""
POLICY: Final = """\
apiVersion: menshen/v1
kind: Policy
metadata: {{name: allow-all}}
spec:
  subject: {{identity: test/conformance}}
  mode: {mode}
  files:
    - {{allow: [read, write, append, create, delete, rename, link, attributes, ioctl], paths: ["/**"]}}
    - {{allow: [map-exec], paths: ["/**"], unsigned: true}}
  exec:
    - {{paths: ["/**"], as: self, unsigned: true}}
  network:
    - {{allow: connect, to: {{protocol: any}}}}
    - {{allow: connect, to: {{unix: "/**"}}}}
    - {{allow: connect, to: {{unix: "@*"}}}}
    - {{allow: listen, protocol: any}}
    - {{allow: listen, unix: "/**"}}
    - {{allow: listen, unix: "@*"}}
  jit: true
  special:
    allow: [{words}]
    capabilities: [{capabilities}]
"""


def policy(mode: str) -> str:
    """The document: every right on every path, every peer, every special word, every capability."""
    words = ", ".join(word.word for word in Special)
    return POLICY.format(mode=mode, words=words, capabilities=", ".join(CAPABILITIES))
