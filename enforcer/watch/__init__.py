"""The watch as a service: its life, its settings, its API. What it knows of events is in `detect`."""
