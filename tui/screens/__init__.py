"""What opens over a page: details, keys."""
