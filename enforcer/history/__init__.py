"""The watch's history for people: events in words, a session in the terminal and as a page."""
