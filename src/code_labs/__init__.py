"""Code Labs: exercises that belong to seconds of a video. A package of its own, beside Code Executor.

Nothing here is imported by `code_executor`. The parts so far are pure: they read text and give values back.
"""

__version__ = "0.2.0"
