"""The forms of values as JSON objects, and back: one file for each group of them. `core.codec` is their table."""
