"""What the application's pages are made of, one widget a file."""
