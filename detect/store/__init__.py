"""History on disk: written by the watch, read by session, by SQL and in the order of time."""

from detect.store.settings import StoreSettings

__all__ = ["StoreSettings"]
