"""The watch: decode, enrich, rules, sequences, verdicts, store. Begins with the watch issue."""
