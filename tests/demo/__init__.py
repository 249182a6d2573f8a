"""The demo: an intrusion into a guest with real services, step by step, with Menshen in force and without."""
