"""Courses, their videos and labs, and how learners stand with them, in the service's database."""

from code_labs.progress.labs import Labs
from code_labs.progress.models import (
    Attempt,
    Course,
    Draft,
    DraftChangedError,
    Happening,
    Moment,
    Placed,
    Video,
    Work,
)

__all__ = [
    "Attempt",
    "Course",
    "Draft",
    "DraftChangedError",
    "Happening",
    "Labs",
    "Moment",
    "Placed",
    "Video",
    "Work",
]
