"""The watch: decoding, rules, sequences, the store."""
