"""Write docs/limits.md anew."""

from __future__ import annotations

from tests.guest.evasion.limits import PAGE, page

PAGE.write_text(page())
print(f"wrote {PAGE}")
