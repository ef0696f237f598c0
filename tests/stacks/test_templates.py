"""The templates: what is in them, what must never be, and what stays when a stack, a stage or a name goes.

    RELAY_GOLDEN=1 python -m pytest tests/stacks/test_templates.py      writes the snapshots anew

Texts of machines, code digests and images are left out of a snapshot: other tests and goldens hold them.
"""

import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cfnlint.api import lint
from cfnlint.config import ManualArgs

from tests.stacks.samples import states
from tests.stacks.templates import DIGITS, KEY, ROOT, Resolved, text_of
from workflows.errors import RelayError

SNAPSHOTS = Path(__file__).with_name("snapshots")
STACKS = ["relay", "relay-digits", "relay-graph", "relay-everything", "relay-with-api-logs"]


@pytest.fixture(params=STACKS)
def stack(request, templates, everything):
    """(name, template) of a stack."""
    found = {**templates, **everything} | {
        "relay": templates["relay"],
        "relay-with-api-logs": everything["relay"],
    }
    return request.param, found[request.param]


def test_cfn_lint_is_clean(stack):
    _, template = stack

    # Informational rules, too, but for the one on a spelling that is CDK's: Join instead of Sub.
    rules = ManualArgs(regions=["us-east-1"], include_checks=["I"], ignore_checks=["I1022"])
    findings = lint(text_of(template), config=rules)

    assert not [str(finding) for finding in findings]


def test_every_suppression_of_cdk_nag_has_its_reason(stack):
    """That each was needed and none is missing is checked at the synthesis itself (the next test)."""
    _, template = stack
    for name, resource in template["Resources"].items():
        for rule in resource.get("Metadata", {}).get("cdk_nag", {}).get("rules_to_suppress", []):
            assert rule["id"].startswith("AwsSolutions-"), name
            assert len(rule["reason"]) > 20, name


def test_a_template_that_breaks_a_rule_without_a_reason_is_not_synthesized(synthesize, monkeypatch):
    import aws_cdk as cdk

    from stacks.settings import Settings

    monkeypatch.setattr(cdk.Validations, "acknowledge", lambda self, *rules: None)

    with pytest.raises(Exception, match="server access logs disabled"):
        synthesize(Settings(), ROOT)


def test_the_template_is_the_one_of_the_snapshot(stack):
    name, template = stack
    golden = SNAPSHOTS / f"{name}.json"
    text = text_of(shortened(template))

    if os.environ.get("RELAY_GOLDEN"):
        SNAPSHOTS.mkdir(exist_ok=True)
        golden.write_text(text)
    assert golden.read_text() == text


def shortened(template):
    """Without the texts that are long, and that change with code and images."""
    short = copy.deepcopy(template)
    for resource in short["Resources"].values():
        if "DefinitionString" in resource.get("Properties", {}):
            resource["Properties"]["DefinitionString"] = "..."
    return short


def test_there_is_no_lambda_function_and_no_custom_resource(stack):
    _, template = stack
    kinds = {resource["Type"] for resource in template["Resources"].values()}

    assert not [kind for kind in kinds if "Lambda" in kind or "Custom" in kind]


def test_nothing_in_a_template_needs_what_only_cdk_sets_up(stack):
    _, template = stack

    assert not {"Parameters", "Rules", "Transform"} & set(template)


# ---------------------------------------------------------------------------------------------- what stays
# A key is data where data is encrypted with it; that of the topic is not (`stacks/notifications.py`).
HOLDING_DATA = re.compile(r"AWS::(S3::|DynamoDB::|RDS::|EFS::|SQS::|ECR::)")


def test_what_holds_checkpoints_outlives_its_stack_and_every_replacement(templates):
    resources = templates["relay"]["Resources"].values()

    holding = [resource for resource in resources if HOLDING_DATA.match(resource["Type"])]
    assert {resource["Type"] for resource in holding} == {
        "AWS::S3::Bucket",
        "AWS::S3::BucketPolicy",
        "AWS::DynamoDB::Table",
    }
    for resource in holding:
        assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_the_stack_of_a_pipeline_holds_no_data_at_all(stack):
    name, template = stack
    if name in {"relay", "relay-with-api-logs"}:
        pytest.skip("not the stack of a pipeline")
    assert template["Resources"]
    holding = [r for r in template["Resources"].values() if HOLDING_DATA.match(r["Type"])]
    # But for the starts that a schedule could not make, for two weeks.
    assert {r["Type"] for r in holding} <= {"AWS::SQS::Queue", "AWS::SQS::QueuePolicy"}


def test_neither_a_stage_that_goes_nor_a_new_name_changes_the_bucket(synthesize, tmp_path):
    whole = (ROOT / DIGITS).read_text()
    shorter = whole[: whole.index("  - name: finetune")]
    renamed = whole.replace("name: digits", "name: numerals", 1)

    buckets = [bucket_of(text, tmp_path) for text in (whole, shorter, renamed)]

    assert {(logical_id, bucket["BucketName"]) for logical_id, bucket in buckets} == {
        ("StorageBucket5CB7C8EA", "relay-123456789012-us-east-1")
    }
    # Under its old name nothing expires any more: objects are rather kept than lost.
    rules = [bucket["LifecycleConfiguration"]["Rules"] for _, bucket in buckets]
    assert [rule[1]["Prefix"] for rule in rules] == ["digits/runs/", "digits/runs/", "numerals/runs/"]


@pytest.mark.parametrize("change", ["a stage less", "another name", "no longer in cdk.json"])
def test_between_two_deployments_nothing_goes_that_holds_data(synthesize, tmp_path, change):
    """Of the stacks that both templates have; a stack that the new ones lack is not touched at all."""
    from stacks.deployment.changes import HOLDING_DATA
    from stacks.settings import Settings

    text = (ROOT / DIGITS).read_text()
    changed = {
        "a stage less": text[: text.index("  - name: finetune")],
        "another name": text.replace("name: digits", "name: numerals", 1),
    }
    for script in ("prepare.py", "pretrain.py", "finetune.py"):
        (tmp_path / script).write_text("")
    file = tmp_path / "pipeline.yaml"
    file.write_text(text)
    old = synthesize(Settings(pipelines=(file.name,)), tmp_path)
    file.write_text(changed.get(change, text))
    pipelines = (file.name,) if change in changed else ()
    new = synthesize(Settings(pipelines=pipelines), tmp_path)

    gone = [
        resource["Type"]
        for stack in set(old) & set(new)
        for logical_id, resource in old[stack]["Resources"].items()
        if logical_id not in new[stack]["Resources"]
    ]
    assert not set(gone) & HOLDING_DATA
    kept = {
        logical_id: [stacks["relay"]["Resources"][logical_id]["Properties"].get(name) for name in NAMES]
        for stacks in (old, new)
        for logical_id, resource in stacks["relay"]["Resources"].items()
        if resource["Type"] in HOLDING_DATA
    }
    for logical_id, names in kept.items():  # another name would be another bucket
        assert [old["relay"]["Resources"][logical_id]["Properties"].get(name) for name in NAMES] == names
    assert len(kept) == 2


NAMES = ("BucketName", "TableName", "KeySchema")


def bucket_of(text, folder):
    """(logical id, properties) of the bucket of an installation with this pipeline."""
    import aws_cdk as cdk

    from stacks.app import SharedStack
    from stacks.compiled import compile_for
    from stacks.settings import Settings

    for name in ("prepare.py", "pretrain.py", "finetune.py"):
        (folder / name).write_text("")
    (folder / "pipeline.yaml").write_text(text)
    settings, app = Settings(), cdk.App()
    SharedStack(app, settings=settings, pipelines=[compile_for(folder / "pipeline.yaml", settings)])
    (bucket,) = Resolved(app.synth().get_stack_by_name("relay").template).of_type("S3::Bucket").items()
    return bucket


def test_old_versions_of_checkpoints_live_as_long_as_a_run_can_be_redriven(templates):
    (bucket,) = Resolved(templates["relay"]).of_type("S3::Bucket").values()
    old, _ = bucket["LifecycleConfiguration"]["Rules"]

    assert old["NoncurrentVersionExpiration"] == {"NoncurrentDays": 14}


def test_runs_of_a_pipeline_that_registers_models_never_expire(templates):
    (bucket,) = Resolved(templates["relay"]).of_type("S3::Bucket").values()
    rules = bucket["LifecycleConfiguration"]["Rules"]

    assert [rule.get("Prefix") for rule in rules] == [None, "digits/runs/"]


# ------------------------------------------------------------------------------------------------ settings
def test_the_text_of_a_machine_reckons_with_a_bucket_name_of_the_right_length(templates):
    text = Resolved(templates["relay-digits"]).machine("digits")["DefinitionString"]
    cut = re.findall(r'\$substring\(\\"s3://([a-z0-9-]+)/[^,]+, (\d+)\)', text)

    assert cut
    assert {int(length) for _, length in cut} == {len(f"s3://{name}/") for name, _ in cut}
    assert {name for name, _ in cut} == {"relay-123456789012-us-east-1"}


def test_settings_reach_what_they_are_for(everything):
    template = Resolved(everything["relay-everything"])
    machine = template.machine("everything")
    jobs = [
        state["Arguments"]
        for _, state in states(json.loads(machine["DefinitionString"]))
        if str(state.get("Resource")).endswith(".sync")
    ]

    made = template.of_type("IAM::Role").values()
    assert made
    assert all(role["PermissionsBoundary"].endswith(":policy/boundary") for role in made)
    assert machine["LoggingConfiguration"]["IncludeExecutionData"] is True
    own = [job["VpcConfig"]["Subnets"] for job in jobs if "VpcConfig" in job]
    assert ["subnet-1"] in own
    assert ["subnet-9"] in own
    assert all(job.get("VpcConfig") or job["NetworkConfig"]["VpcConfig"] for job in jobs)


def test_a_bucket_and_a_table_that_a_team_has_already_are_used_and_not_made(synthesize):
    from stacks.settings import Settings

    made = synthesize(Settings(bucket="team-data", table="team-table", pipelines=(DIGITS,)), ROOT)

    shared = {resource["Type"] for resource in made["relay"]["Resources"].values()}
    assert not [kind for kind in shared if HOLDING_DATA.match(kind)]
    template = Resolved(made["relay-digits"])
    text = json.dumps([template.of_type("IAM::Role"), template.machine("digits")])
    assert "arn:aws:s3:::team-data/digits/runs/*" in text
    assert "table/team-table" in text
    assert "relay-123456789012" not in text
    assert "relay-ledger" not in text


def test_two_pipelines_of_one_name_are_refused(synthesize):
    from stacks.settings import Settings

    with pytest.raises(RelayError, match=r"another pipeline of cdk\.json is named `digits`"):
        synthesize(Settings(pipelines=(DIGITS, f"./{DIGITS}")), ROOT)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"regin": "us-east-1"}, "unknown field `regin`; allowed: "),
        ({"region": "us-east-99"}, "expected an AWS region such as us-east-1"),
        ({"log_days": 8}, "log_days"),
        ({"network": {"subnets": ["subnet-1"]}}, "`subnets` and `security_groups` go together"),
        ({"keep_old_versions_days": 13}, "found 13; at least 14: so long a run can be redriven"),
        ({"bucket": "team..data"}, "bucket: "),
        ({"bucket": "team.-data"}, "bucket: "),
        (
            {"region": "eu-central-1", "kms_key": KEY},
            "; expected the ARN of a key in eu-central-1",
        ),
        (
            {"permissions_boundary": "arn:aws-cn:iam::123456789012:policy/boundary"},
            "policy/boundary; expected the ARN of a policy in the partition aws",
        ),
        ([], "expected a mapping"),
    ],
)
def test_a_mistake_in_the_settings_is_one_line(given, message):
    from stacks.settings import SettingsError, read

    with pytest.raises(SettingsError) as caught:
        read({"relay": given})

    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("text", ["[]", "null", '{"context": []}', '{"context": "relay"}'])
def test_a_cdk_json_of_another_shape_is_one_line(tmp_path, text):
    from stacks.settings import SettingsError, load

    (tmp_path / "cdk.json").write_text(text)

    with pytest.raises(SettingsError, match=r'^.*cdk\.json: expected an object that holds .*"relay"'):
        load(tmp_path)


def test_a_template_is_printed_without_credentials_and_without_the_cdk_command(synthesize):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    nowhere = {"AWS_EC2_METADATA_DISABLED": "true", "HOME": "/nonexistent"}

    done = subprocess.run(
        [sys.executable, "-m", "stacks", DIGITS],
        cwd=ROOT,
        env={**environment, **nowhere},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["Description"] == "Relay: the pipeline digits"


def test_what_the_cdk_command_runs_makes_every_stack_of_cdk_json(synthesize, tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}

    done = subprocess.run(
        [sys.executable, "-m", "stacks"],
        cwd=ROOT,
        env={**environment, "CDK_OUTDIR": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    made = {path.name.removesuffix(".template.json") for path in tmp_path.glob("*.template.json")}
    assert made == {"relay", "relay-digits"}


def test_a_pipeline_that_cannot_be_deployed_is_told_in_one_line(synthesize):
    done = subprocess.run(
        [sys.executable, "-m", "stacks", "pipelin.yaml"], cwd=ROOT, capture_output=True, text=True
    )

    assert done.returncode == 2
    assert "no such file" in done.stderr
    assert "Traceback" not in done.stderr
