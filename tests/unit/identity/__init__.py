"""Identity: what a credential is worth, and what is refused."""
