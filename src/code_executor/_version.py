"""The version of this package; the agent that it puts into sandboxes has the same."""

__version__ = "0.2.0"
