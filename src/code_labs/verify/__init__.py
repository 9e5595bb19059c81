"""Verification: a lab is shown to be good by running it, as learners' programs will be run."""

from code_labs.verify.findings import CODES, Finding, Report, Severity
from code_labs.verify.mutants import Mutant, mutants
from code_labs.verify.room import open_room
from code_labs.verify.verifier import Verifier, VerifyError

__all__ = ["CODES", "Finding", "Mutant", "Report", "Severity", "Verifier", "VerifyError", "mutants", "open_room"]
