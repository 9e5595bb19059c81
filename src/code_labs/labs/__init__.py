"""Labs: a task, a starter, a solution, tests, hints, and the seconds of a video that they belong to."""

from code_labs.labs.directory import read_lab, write_lab
from code_labs.labs.model import CallTest, File, IoTest, Lab, Raises, Suite, VideoLink, lab_object, lab_of

__all__ = [
    "CallTest",
    "File",
    "IoTest",
    "Lab",
    "Raises",
    "Suite",
    "VideoLink",
    "lab_object",
    "lab_of",
    "read_lab",
    "write_lab",
]
