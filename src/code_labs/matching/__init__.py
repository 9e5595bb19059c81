"""Which lab belongs to which seconds of which video, and why. It needs no model: it compares words."""

from code_labs.matching.course import Course, Lecture, Match, Pin, Query, Reason
from code_labs.matching.evaluate import Label, Measures, evaluate

__all__ = ["Course", "Label", "Lecture", "Match", "Measures", "Pin", "Query", "Reason", "evaluate"]
