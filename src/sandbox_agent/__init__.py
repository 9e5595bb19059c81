"""The program inside a sandbox: standard library only, copied whole into the image."""

__version__ = "0.2.0"
