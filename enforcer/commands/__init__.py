"""The commands, one a module. Each asks the agent and shows what it says; validate and doctor need none."""
