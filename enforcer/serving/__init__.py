"""What the agent and the watch both need to serve: sockets with peers, feeds, logs, the service manager."""
