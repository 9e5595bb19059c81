"""Grading: suites of tests, comparers, scores. It knows a `Runner`; it knows neither HTTP nor SQL."""
