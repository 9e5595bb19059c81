"""The service of another process: one protocol of messages, and its transports."""
