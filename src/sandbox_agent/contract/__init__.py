"""What the host and the agent agree on. The host imports nothing else of the agent."""
