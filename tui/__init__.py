"""The terminal application: denials, events and alerts live. A client of the API only."""
