"""What `relay doctor` says of an account: every check with something wrong, and with nothing wrong.

The logic is tested on plain data; the calls are boto3's own, answered by moto. moto has no quotas of
SageMaker, so botocore's Stubber says those.
"""

import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.stub import Stubber

from stacks.compiled import compile_for
from stacks.deployment.errors import DeploymentError
from stacks.deployment.place import CredentialsError, Site, open_site
from stacks.doctor.examination import check_obstacles, examine, subnets
from stacks.doctor.findings import FAIL, OK, UNKNOWN, WARN, Finding, looked
from stacks.doctor.images import check_images
from stacks.doctor.installation import check_api_logs, check_stacks, check_topic
from stacks.doctor.network import check_network, way_to_s3
from stacks.doctor.quotas import judged, ladders, quotas
from stacks.doctor.roles import check_roles, trusts
from stacks.doctor.storage import check_bucket, check_key, check_table
from stacks.settings import Settings
from tests.stacks.templates import DIGITS, ROOT, write_everything
from workflows.specification.loading import load
from workflows.specification.pipeline import Pipeline

ACCOUNT, REGION = "123456789012", "us-east-1"
BUCKET = f"relay-{ACCOUNT}-{REGION}"
MANIFEST: dict[str, Any] = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
    "layers": [],
}


def verdicts(findings):
    return [each.verdict for each in findings]


# ------------------------------------------------------------------------------------------------ looking
def refusal(code, operation="DescribeKey"):
    return ClientError({"Error": {"Code": code, "Message": "no"}}, operation)


@pytest.mark.parametrize("code", ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"])
def test_not_being_allowed_to_look_is_unknown_and_never_ok(code):
    def check():
        raise refusal(code)

    (found,) = looked("key", check)

    assert (found.verdict, found.seen) == (UNKNOWN, "you may not call DescribeKey")
    assert "allow DescribeKey" in found.to_do


@pytest.mark.parametrize(
    "error", [refusal("ThrottlingException"), EndpointConnectionError(endpoint_url="https://kms")]
)
def test_no_answer_is_unknown_too_and_what_was_seen_before_stays(error):
    def check():
        yield Finding("one", OK, "there")
        raise error

    assert verdicts(looked("key", check)) == [OK, UNKNOWN]


# ------------------------------------------------------------------------------------------------- quotas
def pipeline(**stage):
    fields = {"name": "train", "script": "t.py", "image": "image", **stage}
    return Pipeline.model_validate({"name": "p", "stages": [fields]})


SPOT: dict[str, Any] = {"ladder": ["ml.g5.xlarge", {"type": "ml.p4d.24xlarge", "count": 2}]}


def test_spot_on_demand_and_processing_are_three_quotas():
    found = {
        (stage, rung.quota, rung.count) for stage, rungs in ladders(load(ROOT / DIGITS)) for rung in rungs
    }

    assert ("prepare", "ml.m5.xlarge for processing job usage", 1) in found
    assert ("pretrain", "ml.m5.xlarge for spot training job usage", 1) in found
    assert ("pretrain", "ml.m5.2xlarge for spot training job usage", 1) in found
    assert ("pretrain", "ml.m5.xlarge for training job usage", 1) in found


def test_a_sweep_needs_as_many_as_it_runs_at_once():
    sweep = pipeline(
        kind="sweep", grid={"rate": [1, 2, 3, 4]}, concurrency=3, instances=2, best={"metric": "loss"},
        hyperparameters={},
    )  # fmt: skip

    assert {rung.count for _, rungs in ladders(sweep) for rung in rungs} == {6}


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"ml.g5.xlarge": 1, "ml.p4d.24xlarge": 2}, [OK, OK]),
        ({"ml.g5.xlarge": 1, "ml.p4d.24xlarge": 1}, [OK, WARN]),
        ({"ml.g5.xlarge": 0, "ml.p4d.24xlarge": 2}, [WARN, OK]),
        ({"ml.g5.xlarge": 0, "ml.p4d.24xlarge": 1}, [FAIL, FAIL]),
        ({"ml.g5.xlarge": 1}, [OK, UNKNOWN]),
        ({}, [UNKNOWN, UNKNOWN]),
    ],
)
def test_a_rung_without_its_quota_fails_only_where_no_other_has_one(known, expected):
    values = {f"{kind} for spot training job usage": value for kind, value in known.items()}

    found = list(judged(pipeline(spot=SPOT, on_demand={"enabled": False}), values))

    assert verdicts(found) == expected
    assert all(each.to_do for each in found if each.verdict != OK)


def test_on_demand_is_looked_at_where_it_may_be_used_and_spot_only_where_it_is():
    spotless = pipeline(spot={"enabled": False}, on_demand={"ladder": ["ml.g5.xlarge"]})

    assert [each.subject for each in judged(spotless, {})] == ["quota ml.g5.xlarge for training job usage"]


def test_the_accounts_own_values_go_before_the_defaults_over_all_pages():
    client = boto3.client("service-quotas", REGION, aws_access_key_id="relay", aws_secret_access_key="relay")
    with Stubber(client) as stub:
        for operation, pages in (
            ("list_aws_default_service_quotas", [{"a": 0, "b": 0}, {"c": 4}]),
            ("list_service_quotas", [{"a": 2}]),
        ):
            for number, page in enumerate(pages):
                more = {"NextToken": "more"} if number + 1 < len(pages) else {}
                asked = {"ServiceCode": "sagemaker", **({"NextToken": "more"} if number else {})}
                listed = [{"QuotaName": name, "Value": value} for name, value in page.items()]
                stub.add_response(operation, {"Quotas": listed, **more}, asked)

        assert quotas(client) == {"a": 2, "b": 0, "c": 4}


# ------------------------------------------------------------------------------------------------- images
def test_images_of_the_team_are_looked_up_and_sagemakers_own_are_known(site):
    ecr = site.client("ecr")
    ecr.create_repository(repositoryName="team/training")
    ecr.put_image(repositoryName="team/training", imageManifest=json.dumps(MANIFEST), imageTag="1")
    host = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
    own = [f"{host}/team/training:1", f"{host}/team/training:2", f"{host}/none:1", "docker.io/python:3"]
    own.append(f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/team/training:1")
    framework = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"

    found = {
        each.subject.removeprefix("image "): each
        for each in check_images(ecr, [*own, framework], REGION, own)
    }

    assert [found[image].verdict for image in own] == [OK, FAIL, FAIL, UNKNOWN, FAIL]
    assert "no such image" in found[own[1]].seen
    assert "no such repository" in found[own[2]].seen
    assert "push it to ECR in us-east-1" in found[own[4]].to_do
    assert found[framework].verdict == OK


# -------------------------------------------------------------------------------------------------- roles
def trust(service, action="sts:AssumeRole", effect="Allow"):
    return {"Statement": [{"Effect": effect, "Principal": {"Service": service}, "Action": action}]}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (trust("sagemaker.amazonaws.com"), True),
        (trust(["ec2.amazonaws.com", "sagemaker.amazonaws.com"], ["sts:AssumeRole", "sts:TagSession"]), True),
        ({"Statement": trust("sagemaker.amazonaws.com")["Statement"][0]}, True),
        (trust("ec2.amazonaws.com"), False),
        (trust("sagemaker.amazonaws.com", effect="Deny"), False),
        (trust("sagemaker.amazonaws.com", "sts:TagSession"), False),
        ({"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}]}, False),
    ],
)
def test_a_role_is_of_use_where_sagemaker_may_assume_it(policy, expected):
    assert trusts(policy) is expected


def test_a_role_that_a_stage_names_is_there_at_that_path_and_trusts_sagemaker(site):
    iam = site.client("iam")
    for name, service in (("good", "sagemaker.amazonaws.com"), ("bad", "ec2.amazonaws.com")):
        iam.create_role(RoleName=name, Path="/team/", AssumeRolePolicyDocument=json.dumps(trust(service)))
    arns = [f"arn:aws:iam::{ACCOUNT}:role/{name}" for name in ("team/good", "team/bad", "good", "none")]

    found = {each.seen: each.verdict for each in check_roles(iam, arns)}

    assert found == {
        "trusts SageMaker": OK,
        "does not trust SageMaker": FAIL,
        f"it is arn:aws:iam::{ACCOUNT}:role/team/good": FAIL,
        "there is no such role": FAIL,
    }


# ------------------------------------------------------------------------------------------------ storage
def bucket(site, name=BUCKET, *, made=True):
    (found,) = check_bucket(site.client("s3"), name, ACCOUNT, REGION, made=made)
    return found


def test_a_bucket_that_relay_makes_may_be_missing_and_a_teams_own_may_not(site):
    assert bucket(site) == Finding(f"bucket {BUCKET}", WARN, "not there yet", "relay deploy makes it")
    assert bucket(site, "team-data", made=False).verdict == FAIL


def test_a_bucket_is_whole_when_it_is_versioned_and_refuses_plain_http(site):
    s3 = site.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    assert "without versioning" in bucket(site).seen
    assert bucket(site).verdict == WARN

    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    assert bucket(site).seen == "there, without a policy that refuses plain HTTP"

    s3.put_bucket_policy(
        Bucket=BUCKET, Policy=json.dumps({"Condition": {"Bool": {"aws:SecureTransport": "false"}}})
    )
    assert bucket(site).verdict == OK


def test_a_bucket_in_another_region_fails_because_jobs_need_their_checkpoints_near(site):
    site.client("s3").create_bucket(
        Bucket="far", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )

    assert bucket(site, "far", made=False).seen == "in eu-west-1, and jobs run in us-east-1"


def test_a_table_needs_the_keys_that_the_machines_write(site):
    client = site.client("dynamodb")
    assert verdicts(check_table(client, "relay-ledger", made=True)) == [WARN]
    assert verdicts(check_table(client, "team-table", made=False)) == [FAIL]
    for table, (partition, sort) in {
        "relay-ledger": ("pipeline", "attempt_id"),
        "wrong": ("run", "attempt_id"),
    }.items():
        client.create_table(
            TableName=table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in (partition, sort)],
            KeySchema=[
                {"AttributeName": partition, "KeyType": "HASH"},
                {"AttributeName": sort, "KeyType": "RANGE"},
            ],
        )

    assert verdicts(check_table(client, "relay-ledger", made=True)) == [OK]
    (wrong,) = check_table(client, "wrong", made=False)
    assert (wrong.verdict, wrong.seen) == (FAIL, "its keys are run and attempt_id")


def test_a_key_is_enabled_and_in_the_region(site):
    kms = site.client("kms")
    arn = kms.create_key()["KeyMetadata"]["Arn"]
    assert verdicts(check_key(kms, arn, REGION)) == [OK]
    assert verdicts(check_key(kms, arn, "eu-west-1")) == [FAIL]

    kms.disable_key(KeyId=arn.rpartition("/")[2])
    assert verdicts(check_key(kms, arn, REGION)) == [FAIL]


def test_a_key_that_is_not_there_fails(site):
    kms = site.client("kms")
    with Stubber(kms) as stub:  # moto breaks on a key that it does not know
        stub.add_client_error("describe_key", "NotFoundException")

        assert verdicts(check_key(kms, f"arn:aws:kms:{REGION}:{ACCOUNT}:key/none", REGION)) == [FAIL]


# ------------------------------------------------------------------------------------------------ network
@pytest.mark.parametrize(
    ("route", "way"),
    [
        ({"DestinationPrefixListId": "pl-1", "GatewayId": "vpce-1", "State": "active"}, "a gateway endpoint"),
        ({"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1"}, "a NAT or transit gateway"),
        ({"DestinationCidrBlock": "0.0.0.0/0", "TransitGatewayId": "tgw-1"}, "a NAT or transit gateway"),
        ({"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1", "State": "blackhole"}, ""),
        ({"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-1"}, ""),
        ({"DestinationCidrBlock": "10.0.0.0/8", "NatGatewayId": "nat-1"}, ""),
        ({"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local"}, ""),
    ],
)
def test_a_job_reaches_s3_by_an_endpoint_or_a_nat_gateway_and_not_by_an_internet_gateway(route, way):
    assert way_to_s3([route]) == way


def test_subnets_need_a_way_to_s3_and_room(site):
    ec2 = site.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    made = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/28", AvailabilityZone=f"us-east-1{zone}")[
            "Subnet"
        ]
        for n, zone in enumerate("ab")
    ]
    here, there = sorted(each["SubnetId"] for each in made)

    def found(needs):
        return {each.subject: each for each in check_network(ec2, needs, REGION)}

    closed = found({here: 1, there: 1})
    assert closed["zones"].verdict == OK
    assert (closed[f"subnet {here}"].verdict, closed[f"subnet {here}"].seen[:12]) == (FAIL, "no way to S3")
    assert "gateway endpoint" in closed[f"subnet {here}"].to_do

    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = ec2.create_nat_gateway(SubnetId=here, AllocationId=address)["NatGateway"]["NatGatewayId"]
    (table,) = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
    ec2.create_route(RouteTableId=table["RouteTableId"], DestinationCidrBlock="0.0.0.0/0", NatGatewayId=nat)

    assert found({here: 1, there: 1})[f"subnet {there}"].verdict == OK
    assert "free addresses for 64 instances" in found({here: 64})[f"subnet {here}"].seen
    assert found({here: 1})["zones"].verdict == WARN
    assert found({"subnet-12345678": 1})["network"].verdict == FAIL


def test_a_subnet_has_to_hold_the_largest_job_in_it(tmp_path):
    settings = Settings(network={"subnets": ["subnet-9"], "security_groups": ["sg-9"]})
    found = compile_for(ROOT / DIGITS, settings).pipeline
    assert subnets([found]) == {"subnet-9": 1}

    own = load(write_everything(tmp_path) and tmp_path / "pipeline.yaml")
    assert subnets([own]) == {"subnet-1": 1}


# ------------------------------------------------------------------------------------------- installation
def test_what_is_not_deployed_yet_is_no_failure(site):
    found = list(check_stacks(site.client("cloudformation"), ["relay", "relay-digits"], REGION))

    assert verdicts(found) == [WARN, WARN]
    assert {each.to_do for each in found} == {"relay deploy"}
    assert verdicts(
        check_topic(site.client("sns"), f"arn:aws:sns:{REGION}:{ACCOUNT}:relay-notifications")
    ) == [WARN]


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        ("CREATE_COMPLETE", OK),
        ("UPDATE_IN_PROGRESS", WARN),
        ("UPDATE_ROLLBACK_COMPLETE", WARN),
        ("ROLLBACK_COMPLETE", WARN),
        ("ROLLBACK_FAILED", FAIL),
        ("UPDATE_ROLLBACK_FAILED", FAIL),
    ],
)
def test_a_stack_in_trouble_is_told(site, status, verdict):
    def describe(parsed, **_):
        parsed.clear()
        parsed["Stacks"] = [{"StackName": "relay", "StackId": "id", "StackStatus": status}]

    site.session.events.register_last("after-call.cloudformation.DescribeStacks", describe)
    site.client("cloudformation").create_stack(StackName="relay", TemplateBody=json.dumps({"Resources": {}}))

    assert verdicts(check_stacks(site.client("cloudformation"), ["relay"], REGION)) == [verdict]


def test_a_mail_that_nobody_has_confirmed_is_told(site):
    sns = site.client("sns")
    topic = sns.create_topic(Name="relay-notifications")["TopicArn"]
    assert [each.seen for each in check_topic(sns, topic)] == ["nobody is told of failures"]

    sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="team@example.com")
    assert verdicts(check_topic(sns, topic)) == [OK]  # moto confirms by itself

    def wait(parsed, **_):
        for each in parsed["Subscriptions"]:
            each["SubscriptionArn"] = "PendingConfirmation"

    site.session.events.register("after-call.sns.ListSubscriptionsByTopic", wait)
    (found,) = check_topic(site.client("sns"), topic)
    assert (found.verdict, found.seen) == (WARN, "not confirmed: team@example.com")


@pytest.mark.parametrize(
    ("role", "made", "verdict"),
    [("", False, FAIL), ("", True, WARN), (f"arn:aws:iam::{ACCOUNT}:role/logs", False, OK)],
)
def test_an_api_needs_the_accounts_role_for_logs(role, made, verdict):
    class ApiGateway:
        def get_account(self):
            return {"cloudwatchRoleArn": role} if role else {}

    assert verdicts(check_api_logs(ApiGateway(), made=made)) == [verdict]


# ---------------------------------------------------------------------------------------- the whole of it
def test_before_the_first_deployment_nothing_fails_that_deploying_mends(site):
    compiled = compile_for(ROOT / DIGITS, site.settings)

    found = list(examine(site, [compiled]))

    by_subject = {each.subject: each.verdict for each in found}
    assert by_subject["credentials"] == by_subject["region"] == by_subject["SageMaker"] == OK
    assert by_subject[f"bucket {BUCKET}"] == by_subject["stack relay-digits"] == WARN
    # moto lists no quotas of SageMaker: what is not seen is not ok.
    assert UNKNOWN in {v for s, v in by_subject.items() if s.startswith("quota")}
    assert FAIL not in by_subject.values()


def test_what_would_fail_half_way_is_said_before_a_deployment_begins(session):
    site = Site(session, Settings(bucket="team-data", triggers={"digits": {"api": {}}}))

    with pytest.raises(DeploymentError) as caught:
        check_obstacles(site)

    told = str(caught.value)
    assert told.startswith("the deployment would fail, so nothing was begun:")
    assert "bucket team-data: there is none" in told
    check_obstacles(Site(session, Settings()))


def test_another_region_in_the_aws_configuration_is_told_and_on_the_command_line_refused(session):
    far = boto3.Session(region_name="eu-west-1")
    (told,) = [each for each in examine(Site(far, Settings()), []) if each.subject == "region"]
    assert (told.verdict, told.seen) == (WARN, "us-east-1 in cdk.json, eu-west-1 in your AWS configuration")

    with pytest.raises(DeploymentError, match=r"--region eu-west-1, and cdk.json says us-east-1"):
        open_site(Settings(), profile=None, region="eu-west-1")


def test_without_credentials_one_message_says_what_to_do(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))

    with pytest.raises(CredentialsError, match="no AWS credentials: sign in"):
        open_site(Settings(), profile=None, region=None)
    with pytest.raises(CredentialsError, match="list-profiles"):
        open_site(Settings(), profile="team", region=None)
