"""The time before the agent: the last policy image is put in force early, and how late that was is told."""
