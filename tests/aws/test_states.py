"""What AWS makes of the compiled machines, state by state: no job starts. The same in CI, on the local world:
`tests/deployment/test_machines_judged.py`."""

import pytest

from stacks.compiled import compile_for
from stacks.doctor.findings import FAIL, OK
from stacks.doctor.machines import judge, texts_of, validate
from tests.aws.assumptions import settle
from tests.stacks.templates import DIGITS, GRAPH, ROOT


@pytest.fixture
def machines(account):
    return [compile_for(ROOT / path, account.site.settings) for path in (DIGITS, GRAPH)]


def test_aws_takes_the_definitions(account, machines):
    texts = {name: text for each in machines for name, text in texts_of(account.site, each).items()}

    refused = [each.seen for each in validate(account.stepfunctions, texts) if each.verdict == FAIL]
    settle("definitions", refused == [], refused)


def test_each_state_does_on_aws_what_it_does_in_a_local_run(account, machines):
    rows = [row for each in machines for row in judge(account.site, each)]

    differing = [(row.state, row.told, row.differs) for row in rows if row.verdict == FAIL]
    assert [row for row in rows if row.verdict == OK] or differing
    settle("states", differing == [], differing)
