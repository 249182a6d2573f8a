"""The agent and the command line, against a gate that lives in memory."""
