"""The terminal application, a client of the API only."""
