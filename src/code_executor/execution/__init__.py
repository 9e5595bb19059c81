"""The data path: from an execution to its events and its result."""
