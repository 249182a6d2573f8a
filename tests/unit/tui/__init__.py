"""The terminal application, over recordings."""
