"""Every problem of every bad policy that the tests know has a line and a column within its text."""

import re
from pathlib import Path

import pytest

from tallystick.core.errors import InvalidPolicy
from tallystick.policyfile import find_problems, load_policy
from tests.unit.policyfile import test_bad_policies as bad
from tests.unit.policyfile import test_identity_documents as identity
from tests.unit.policyfile import test_money_documents as money

TABLES = {
    f"{module.__name__.rpartition('.')[2]}.{name}": table
    for module in (bad, identity, money)
    for name, table in vars(module).items()
    if name.isupper() and isinstance(table, list) and table and isinstance(table[0], tuple)
    and isinstance(table[0][0], str)
}  # fmt: skip
DOCUMENTS = [
    pytest.param(row[0], id=f"{name}[{number}]")
    for name, table in TABLES.items()
    for number, row in enumerate(table)
]
EXAMPLES = sorted(Path(__file__).parents[3].glob("docs/**/*.yaml"))


def check(text: str) -> int:
    problems = find_problems(text)
    lines = re.split(r"\r\n|[\n\r\x85\u2028\u2029]", text)
    for problem in problems:
        if problem.line == len(lines) + 1:
            assert problem.column == 1  # something is missing at the end
            continue
        assert 1 <= problem.line <= len(lines), problem
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1, problem
        assert str(problem).startswith(f"line {problem.line}, column {problem.column}: {problem.field}: ")
    return len(problems)


def test_there_are_tables_of_many_kinds() -> None:
    assert len(DOCUMENTS) > 200, TABLES.keys()


@pytest.mark.parametrize("text", DOCUMENTS)
def test_every_problem_of_a_bad_policy_has_its_place(text: str) -> None:
    if check(text):
        with pytest.raises(InvalidPolicy) as caught:
            load_policy(text)
        assert caught.value.line


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_so_has_every_problem_of_a_good_one_with_a_line_left_out_or_broken(path: Path) -> None:
    lines = path.read_text().splitlines()
    found = 0
    for number, line in enumerate(lines):
        for instead in ((), (line.replace(":", "", 1),), (line + " x",), (line + " {",), ("  " + line,)):
            found += check("\n".join([*lines[:number], *instead, *lines[number + 1 :]]))
    assert found
