"""What each operation costs in instructions: with Menshen, beside the peers and without an LSM."""
