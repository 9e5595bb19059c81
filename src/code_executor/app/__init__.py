"""Puts the parts together: settings, the composition root, the processes, the command line and the library."""
