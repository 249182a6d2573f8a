"""Rules and sequences that are shipped."""
