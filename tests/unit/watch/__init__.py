"""The watch as a service."""
