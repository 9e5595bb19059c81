"""The check of a source before it runs: a refusal that teaches. It is advice; the sandbox is the wall."""

from sandbox_agent.contract.policy.checker import MAX_PROBLEMS, SourceProblem, check
from sandbox_agent.contract.policy.rules import OFF, STRICT, Policy

__all__ = ["MAX_PROBLEMS", "OFF", "STRICT", "Policy", "SourceProblem", "check"]
