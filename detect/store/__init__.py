"""History on disk: written by the watch (store.py), read by session and in the order of time (history.py)
and by SQL (sql.py).
"""

import os

# What Arrow keeps in a heap of its own is resident beside the C library's: 30 MB while segments are merged.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

from detect.store.settings import StoreSettings

__all__ = ["StoreSettings"]
