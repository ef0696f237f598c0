"""The stacks know the workflows, and are known by nobody; one construct stands in each file."""

import ast

import pytest

from scripts.imports import ROOT, imports

DEPLOYING = {ROOT / "workflows/commands" / f"{verb}.py" for verb in ("deploy", "destroy", "doctor")}


def modules(folder):
    found = sorted((ROOT / folder).rglob("*.py"))
    assert found
    return found


def test_nothing_in_workflows_knows_the_stacks_but_the_verbs_that_deploy_and_they_only_when_called():
    users = {path for path in modules("workflows") if any(n.split(".")[0] == "stacks" for n in imports(path))}

    assert users == DEPLOYING
    for path in DEPLOYING:
        # `relay --help` works, and answers at once, where neither CDK nor boto3 is installed.
        found = {n.split(".")[0] for n in imports(path, top_level_only=True)}
        assert not found & {"stacks", "boto3", "rich"}


def test_an_account_is_looked_at_and_changed_without_cdk():
    for folder in ("stacks/deployment", "stacks/doctor"):
        for path in modules(folder):
            assert not {n.split(".")[0] for n in imports(path)} & {"aws_cdk", "constructs", "cdk_nag"}, path


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
