"""Who is running: trust roots, credentials in binaries, packages, the catalogue of digests."""
