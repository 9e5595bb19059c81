"""The version of this package, and of the agent that it puts into sandboxes."""

__version__ = "0.1.0"
