"""The watch: events as columns, rules, sequences, alerts, and the store that is searched by session."""
