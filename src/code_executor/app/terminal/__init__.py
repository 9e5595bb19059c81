"""What stands in a terminal: the input of a program, and how a running service is."""
