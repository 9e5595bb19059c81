"""The programs of the benchmark: each is what it claims to be, on our side and on the bare interpreter's."""

import ast

import pytest

from bench.programs import A_PLOT, PROGRAMS, Program
from code_executor.app.preloads import KINDS
from code_executor.service.looks import Looks
from sandbox_agent.contract.policy.checker import check
from sandbox_agent.contract.policy.rules import STRICT

every_program = pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)


@every_program
def test_a_program_has_the_default_policy_where_it_can(program: Program) -> None:
    refused = check(ast.parse(program.code), STRICT)
    assert bool(refused) == (program.policy == "off"), refused


@every_program
def test_a_bare_interpreter_saves_what_a_program_shows(program: Program) -> None:
    ast.parse(program.bare)
    assert program.draws == ("plt.savefig(" in program.bare)
    assert program.draws == ("matplotlib" in program.code)
    assert "plt.show()" not in program.bare


def test_every_kind_of_sandbox_has_programs_that_need_it() -> None:
    looks = Looks(KINDS)
    assert {looks.kind(program.code.encode()) for program in PROGRAMS} == set(range(len(KINDS) + 1))
    assert looks.kind(A_PLOT.code.encode()) == 2


def test_names_are_unique() -> None:
    assert len({program.name for program in PROGRAMS}) == len(PROGRAMS)
