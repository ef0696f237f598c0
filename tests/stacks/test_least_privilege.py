"""The roles allow what the machines, the watch, the rule and the jobs do, and nothing else."""

import json

import pytest

from tests.stacks import needs
from tests.stacks.gateway import Gateway, needs_of
from tests.stacks.needs import Need
from tests.stacks.policy import allowed, covers, parts
from tests.stacks.samples import arn
from tests.stacks.templates import KEY, Resolved

PIPELINES = ["digits", "graph", "everything"]
BUCKET = "arn:aws:s3:::relay-123456789012-us-east-1"
TABLE = "arn:aws:dynamodb:us-east-1:123456789012:table/relay-ledger"
OURS, THEIRS = {needs.OWNER: "digits"}, {needs.OWNER: "other"}
TO_SAGEMAKER = {"iam:PassedToService": "sagemaker.amazonaws.com"}


@pytest.fixture(params=PIPELINES)
def deployed(request, templates, everything):
    """A pipeline's template, resolved, and the key of its bucket."""
    name = request.param
    own = name == "everything"
    return name, Resolved((everything if own else templates)[f"relay-{name}"]), KEY if own else None


def roles(name, template, key):
    """(who, the statements of the role, what is needed)."""
    machine, watch = template.machine(name), template.machine(f"{name}-watch")
    rules = template.of_type("Events::Rule").values()
    (target,) = next(rule["Targets"] for rule in rules if rule["Name"] == f"{name}-watch")
    started = target["Arn"].removesuffix(":live")
    job_role = next(r for r in template.of_type("IAM::Role") if r.startswith("JobRole"))
    job_arn = f"arn:aws:iam::123456789012:role/{job_role}"
    start = Need("states:StartExecution", started, {"states:StateMachineQualifier": "live"})
    yield from trigger_roles(template)
    yield "machine", template.statements(machine["RoleArn"]), needs.of_machine(machine, key)
    yield "watch", template.statements(watch["RoleArn"]), needs.of_watch(watch, machine, key)
    yield "rule", template.statements(target["RoleArn"]), [start]
    yield "jobs", template.statements(job_arn), needs.of_jobs(machine, job_arn, key)


def trigger_roles(template):
    """The same of what starts the machine; a pipeline may have neither."""
    for schedule in template.of_type("Scheduler::Schedule").values():
        target = schedule["Target"]
        assert target["Arn"] == "arn:aws:scheduler:::aws-sdk:sfn:startExecution"
        asked = {"stateMachineArn": json.loads(target["Input"])["StateMachineArn"]}
        needed = [
            *needs_of("StartExecution", asked),
            Need("sqs:SendMessage", target["DeadLetterConfig"]["Arn"]),
        ]
        yield "schedule", template.statements(target["RoleArn"]), needed
    gateway, needed = Gateway(template), []
    params = {"path": {"id": "run"}, "querystring": {}, "header": {}}
    for method in template.of_type("ApiGateway::Method").values():
        action, request = gateway.asked(method["Integration"], "", params)
        needed += needs_of(action, json.loads(request))
    for role in {m["Integration"]["Credentials"] for m in template.of_type("ApiGateway::Method").values()}:
        yield "api", template.statements(role), needed


def test_the_triggers_are_among_them(everything):
    found = [who for who, _, _ in every_role("everything", Resolved(everything["relay-everything"]), KEY)]

    assert found[:2] == ["schedule", "api"]


def test_the_role_of_api_gateways_logs_may_do_what_api_gateway_asks_of_it(everything):
    (role,) = Resolved(everything["relay"]).of_type("IAM::Role").values()
    (statement,) = [s for policy in role["Policies"] for s in policy["PolicyDocument"]["Statement"]]

    # AWS's managed policy AmazonAPIGatewayPushToCloudWatchLogs, which API Gateway checks a role against.
    assert {action.removeprefix("logs:") for action in statement["Action"]} == {
        "CreateLogGroup",
        "CreateLogStream",
        "DescribeLogGroups",
        "DescribeLogStreams",
        "PutLogEvents",
        "GetLogEvents",
        "FilterLogEvents",
    }
    assert statement["Resource"] == "*"


def every_role(*deployed):
    """What `roles` finds; at least one."""
    found = list(roles(*deployed))
    assert found
    return found


def test_everything_that_is_called_is_allowed(deployed):
    for who, statements, needed in every_role(*deployed):
        missing = {
            f"{need.action} on {need.resource} {need.context}"
            for need in needed
            if not allowed(need, statements)
        }
        assert not missing, who


def test_the_jobs_may_do_all_that_sagemaker_does_in_their_role(deployed):
    """By SageMaker's own guide, for each request that the machine makes."""
    name, template, key = deployed
    job_role = next(r for r in template.of_type("IAM::Role") if r.startswith("JobRole"))
    role = f"arn:aws:iam::123456789012:role/{job_role}"
    requests = needs.requests_of(template.machine(name), role)
    allowed_actions = {action for _, action, _ in parts(template.statements(role))}

    assert requests
    for request in requests:
        assert needs.in_the_role(request, key) <= allowed_actions


def test_whoever_writes_with_a_key_for_outputs_may_encrypt_with_it(everything):
    template = Resolved(everything["relay-everything"])
    jobs = next(s for who, s, _ in roles("everything", template, KEY) if who == "jobs")
    own = arn("kms", "key/11111111-2222-3333-4444-555555555555")

    for key in (KEY, own):  # the installation's, and the one that a stage names
        for action in needs.OF_OUTPUT_KEY:
            assert allowed(Need(action, key), jobs), (action, key)


def test_everything_that_is_allowed_is_called(deployed):
    for who, statements, needed in every_role(*deployed):
        superfluous = [
            f"{statement['Sid']}: {action} on {resource}"
            for statement, action, resource in parts(statements)
            if not any(covers(need, action, resource, statement) for need in needed)
        ]
        assert not superfluous, who


def test_every_pattern_of_a_condition_is_used(deployed):
    for who, statements, needed in every_role(*deployed):
        for statement, action, resource in parts(statements):
            for operator, keys in statement.get("Condition", {}).items():
                for key, patterns in keys.items():
                    for pattern in [patterns] if isinstance(patterns, str) else patterns:
                        narrow = {**statement, "Condition": {operator: {key: pattern}}}
                        used = any(covers(need, action, resource, narrow) for need in needed)
                        assert used, (who, statement["Sid"], action, pattern)


def test_every_open_resource_has_its_reason_in_the_template(deployed):
    _, template, _ = deployed
    made = [r for r in template.resources.values() if r["Type"] == "AWS::IAM::Role"]
    assert made
    for role in made:
        known = role.get("Metadata", {}).get("cdk_nag", {}).get("rules_to_suppress", [])
        reasons = {rule["id"].partition("::")[2].removesuffix("]"): rule["reason"] for rule in known}
        policies = role["Properties"].get("Policies", [])
        statements = [s for policy in policies for s in template.value(policy)["PolicyDocument"]["Statement"]]
        for statement, _, resource in parts(statements):
            if "*" in resource:
                shown = resource.replace("123456789012", "<AWS::AccountId>")
                assert len(reasons.get(resource) or reasons[shown]) > 20, statement["Sid"]


def test_no_action_is_open_and_nothing_is_allowed_by_exclusion(deployed):
    _, template, _ = deployed
    made = template.of_type("IAM::Role").values()
    assert made
    for role in made:
        for policy in role.get("Policies", []):
            for statement in policy["PolicyDocument"]["Statement"]:
                assert not {"NotAction", "NotResource", "NotPrincipal"} & set(statement)
        for _, action, _ in parts(
            [s for p in role.get("Policies", []) for s in p["PolicyDocument"]["Statement"]]
        ):
            assert "*" not in action
        assert "ManagedPolicyArns" not in role


def test_iam_takes_the_policies(deployed):
    _, template, _ = deployed
    made = template.of_type("IAM::Role").values()
    assert made
    for role in made:
        documents = [policy["PolicyDocument"] for policy in role["Policies"]]
        assert (
            len(json.dumps(documents, separators=(",", ":"))) < 10_240
        )  # characters, of a role's inline ones


def test_a_role_is_taken_on_by_its_service_for_this_account_only(deployed):
    _, template, _ = deployed
    made = template.of_type("IAM::Role").values()
    assert made
    for role in made:
        (trusted,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert set(trusted["Principal"]) == {"Service"}
        # Of API Gateway it is not documented that it says so.
        told = trusted["Principal"]["Service"] != "apigateway.amazonaws.com"
        operator = "StringEquals" if told else "StringEqualsIfExists"
        assert trusted["Condition"] == {operator: {"aws:SourceAccount": "123456789012"}}


@pytest.mark.parametrize(
    "need",
    [
        Need("sagemaker:CreateTrainingJob", arn("sagemaker", "training-job/other-train-1")),
        Need("sagemaker:StopTrainingJob", arn("sagemaker", "training-job/other-train-1"), OURS),
        # One whose name begins alike.
        Need("sagemaker:StopTrainingJob", arn("sagemaker", "training-job/digits-large--train-1"), OURS),
        # One that somebody gave a name of ours: it has not our tag.
        Need("sagemaker:StopTrainingJob", arn("sagemaker", "training-job/digits--train-1")),
        Need("sagemaker:StopTrainingJob", arn("sagemaker", "training-job/digits--train-1"), THEIRS),
        Need("sagemaker:StopProcessingJob", arn("sagemaker", "processing-job/digits--prepare-1"), THEIRS),
        Need("s3:GetObject", f"{BUCKET}/other/code/1/source.tar.gz"),
        Need("s3:GetObject", f"{BUCKET}/other/inputs/1/table.csv"),
        Need("s3:GetObject", f"{BUCKET}/code/1/source.tar.gz"),
        Need("s3:ListBucket", BUCKET, {"s3:prefix": "other/code/"}),
        Need("s3:GetObject", f"{BUCKET}/other/runs/1-a/train/checkpoints/progress.json"),
        Need("s3:GetObject", f"{BUCKET}/other/runs/1-a/train/output/j/output/model.tar.gz"),
        Need("s3:PutObject", f"{BUCKET}/digits/code/1/launch.py"),
        Need("s3:DeleteObject", f"{BUCKET}/digits/runs/1-a/train/output/j/output/model.tar.gz"),
        Need("s3:ListBucket", BUCKET, {"s3:prefix": "other/runs/"}),
        Need("iam:PassRole", "arn:aws:iam::123456789012:role/admin", TO_SAGEMAKER),
        Need("dynamodb:PutItem", TABLE, {"dynamodb:LeadingKeys": "other"}),
        Need("dynamodb:DeleteItem", TABLE, {"dynamodb:LeadingKeys": "digits"}),
        Need("dynamodb:Query", TABLE, {"dynamodb:LeadingKeys": "digits"}),
        Need("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "AWS/States"}),
    ],
    ids=lambda need: f"{need.action} {need.resource.rpartition(':')[2]}",
)
def test_what_belongs_to_others_is_out_of_reach_of_every_role(templates, need):
    for who, statements, _ in every_role("digits", Resolved(templates["relay-digits"]), None):
        assert not allowed(need, statements), who


def test_an_input_that_is_a_whole_bucket_opens_no_other_one(everything):
    found = list(every_role("everything", Resolved(everything["relay-everything"]), KEY))

    assert any(
        allowed(Need("s3:GetObject", "arn:aws:s3:::whole/x"), statements) for _, statements, _ in found
    )
    for who, statements, _ in found:
        assert not allowed(Need("s3:GetObject", "arn:aws:s3:::whole-other/x"), statements), who


def test_the_machines_read_no_model_and_no_checkpoint(templates):
    model = Need("s3:GetObject", f"{BUCKET}/digits/runs/1-a/train/output/j/output/model.tar.gz")
    checkpoint = Need("s3:GetObject", f"{BUCKET}/digits/runs/1-a/train/checkpoints/step-1/manifest.json")
    for who, statements, _ in every_role("digits", Resolved(templates["relay-digits"]), None):
        for need in (model, checkpoint):
            assert allowed(need, statements) == (who == "jobs")
