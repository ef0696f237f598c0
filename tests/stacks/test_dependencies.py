"""The stacks know the workflows, and are known by nobody; one construct stands in each file."""

import ast

import pytest

from tests.stacks.templates import ROOT
from tests.unit.test_dependencies import imports, modules


def test_nothing_below_workflows_knows_the_stacks():
    users = [path for path in modules("workflows") if any(n.split(".")[0] == "stacks" for n in imports(path))]

    assert not users


DECIDING = ["settings", "trigger_settings", "schedule_expression", "compiled", "api_mappings"]
DECIDING += ["grants", "job_grants", "trigger_grants"]


@pytest.mark.parametrize("name", DECIDING)
def test_what_is_deployed_is_decided_without_cdk(name):
    found = {each.split(".")[0] for each in imports(ROOT / "stacks" / f"{name}.py")}

    assert not found & {"aws_cdk", "constructs", "cdk_nag"}


def test_a_file_holds_one_construct():
    for path in modules("stacks"):
        classes = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
        constructs = [each.name for each in classes if any(ast.unparse(b) == "Construct" for b in each.bases)]
        assert len(constructs) <= 1, path
