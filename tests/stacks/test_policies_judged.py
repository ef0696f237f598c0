"""The templates before judges that are not ours: checkov reads the resources, parliament the policies.

Each finding is mended, or stands in a table with its reason; a reason that nothing needs any more fails, too.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from parliament import analyze_policy_string

from tests.stacks.templates import Resolved, text_of

# Apart from .venv, because it pins the boto3 that it needs (1.35.49, and SageMaker's new fields came later).
CHECKOV = Path(sys.prefix) / "checkov/bin/checkov"

# (check, beginning of the resource) -> why it does not hold here
OF_CHECKOV = {
    ("CKV_AWS_18", "AWS::S3::Bucket."): "Access logs need a second bucket that grows without bound; "
    "CloudTrail's data events tell the same where a team wants it.",
    ("CKV_AWS_27", "AWS::SQS::Queue."): "The queue has SQS's own encryption (SqsManagedSseEnabled), and the "
    "check knows KMS keys only; what lies there is the time of a start and its input.",
    ("CKV_AWS_109", "AWS::IAM::Role.JobRole"): "Of jobs in a VPC: SageMaker's guide lists the actions on "
    "network interfaces, their permissions among them, for all resources.",
    ("CKV_AWS_111", "AWS::IAM::Role.JobRole"): "As CKV_AWS_109: SageMaker makes and removes the interfaces.",
    ("CKV_AWS_111", "AWS::IAM::Role.ApiLogs"): "API Gateway refuses a role for its logs that has less than "
    "AWS's managed policy for it.",
    ("CKV_AWS_119", "AWS::DynamoDB::Table."): "DynamoDB encrypts every table with a key of its own; with "
    "`kms_key` in cdk.json the table has the team's.",
    ("CKV_AWS_120", "AWS::ApiGateway::Stage."): "The answers are about runs in progress: a cache would tell "
    "what was.",
    ("CKV_AWS_158", "AWS::Logs::LogGroup."): "CloudWatch Logs encrypts every group with a key of its own; "
    "a key of ours would cost more than the logs, which hold no data of runs unless `log_data` asks for it.",
}

# (issue, role, what it is about) -> why it does not hold here
OF_PARLIAMENT = {
    ("RESOURCE_STAR", "JobRole", "ec2:CreateNetworkInterface"): "As CKV_AWS_109 of checkov.",
    ("RESOURCE_STAR", "ApiLogsRole", "logs:CreateLogGroup"): "As CKV_AWS_111 of checkov.",
    ("UNKNOWN_CONDITION_FOR_ACTION", "JobRole", "kms:ResourceAliases"): "It has the condition keys of an "
    "action only; this one belongs to the resource (Service Authorization Reference: resource type key).",
    ("RESOURCE_MISMATCH", "PipelineRole", "states:DescribeExecution"): "It wants an ARN of an express "
    "execution beside that of a standard one; ours are standard.",
    ("RESOURCE_MISMATCH", "StartedByApiRole", "states:DescribeExecution"): "As PipelineRole.",
    ("RESOURCE_MISMATCH", "StartedByApiRole", "states:ListExecutions"): "It wants the ARN of a Map run "
    "beside that of a machine; the API lists runs of its machine.",
}


@pytest.fixture(scope="module")
def deployed(templates, triggered, everything):
    """Name -> template: the examples, one with triggers, and what uses every setting."""
    named = {**templates, "relay-triggered": triggered["relay-digits"]}
    return named | {"relay-everything": everything["relay-everything"], "relay-all-set": everything["relay"]}


def test_checkov_finds_nothing_that_has_no_reason(deployed, tmp_path):
    if not CHECKOV.exists():
        pytest.skip("checkov is not installed: ./scripts/test installs it")
    for name, template in deployed.items():
        (tmp_path / f"{name}.json").write_text(text_of(template))

    found = {(check["check_id"], check["resource"]) for check in checked(tmp_path)}

    assert judged(found, OF_CHECKOV) == (set(), set())


def test_checkov_sees_what_is_wrong(templates, tmp_path):
    """It reads these templates: an open bucket among them is found."""
    if not CHECKOV.exists():
        pytest.skip("checkov is not installed: ./scripts/test installs it")
    text = text_of(templates["relay"]).replace('"BlockPublicAcls": true', '"BlockPublicAcls": false')
    (tmp_path / "relay.json").write_text(text)

    assert "CKV_AWS_53" in {check["check_id"] for check in checked(tmp_path)}


def checked(folder):
    """The checks that failed for the templates in a folder; nothing is asked of any server."""
    asked = ["--framework", "cloudformation", "--output", "json", "--quiet", "--compact", "--skip-download"]
    done = subprocess.run(
        [CHECKOV, "--directory", folder, *asked], capture_output=True, text=True, timeout=300
    )
    report = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0, done.stderr
    assert report["summary"]["passed"] > 0
    return report["results"]["failed_checks"]


def test_parliament_finds_nothing_that_has_no_reason(deployed):
    found = set()
    for template in deployed.values():
        for name, role in Resolved(template).of_type("IAM::Role").items():
            for policy in role.get("Policies", []):
                found |= {(issue, name, about) for issue, about in analyzed(policy["PolicyDocument"])}

    assert judged(found, OF_PARLIAMENT) == (set(), set())


@pytest.mark.parametrize(
    ("change", "issue"),
    [
        ({"Action": "sagemaker:StopTrainingJobs"}, "UNKNOWN_ACTION"),
        ({"Resource": "arn:aws:s3:::bucket"}, "RESOURCE_MISMATCH"),
        ({"Condition": {"StringEquals": {"aws:ResourceTags/a": "b"}}}, "UNKNOWN_CONDITION_FOR_ACTION"),
    ],
)
def test_parliament_sees_what_is_wrong(change, issue):
    job = "arn:aws:sagemaker:us-east-1:123456789012:training-job/a"
    statement = {"Effect": "Allow", "Action": "sagemaker:StopTrainingJob", "Resource": job, **change}

    found = analyzed({"Version": "2012-10-17", "Statement": [statement]})

    assert issue in {name for name, _ in found}


def analyzed(document):
    """(issue, what it is about) of each finding of parliament in a policy."""
    for finding in analyze_policy_string(json.dumps(document)).findings:
        yield finding.issue, json.dumps(finding.detail)


def judged(found, reasons):
    """(findings without a reason, reasons without a finding)."""
    known = {
        each: {reason for reason in reasons if all(map(begins_or_holds, each, reason))} for each in found
    }
    needed = set().union(*known.values())
    return {each for each, own in known.items() if not own}, set(reasons) - needed


def begins_or_holds(text, part):
    return text.startswith(part) or part in text
