"""What lives: the agent's start and end, its feeds, its API. One job a module; life.py joins them."""
