"""History on disk: written by the watch (store.py), read by session and in the order of time (history.py)
and by SQL (sql.py).
"""

from detect.store.settings import StoreSettings

__all__ = ["StoreSettings"]
