"""The store: nothing lost that was written, nothing invented, and whoever reads is not in the way."""
