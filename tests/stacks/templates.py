"""Templates of the examples and of a pipeline that uses everything, and what their references stand for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workflows.local.server import ACCOUNT, REGION

ROOT = Path(__file__).parents[2]
DIGITS, GRAPH = (f"workflows/examples/{name}/pipeline.yaml" for name in ("digits", "graph"))
EVERYTHING = """\
name: everything
defaults:
  image: 123456789012.dkr.ecr.us-east-1.amazonaws.com/team/training:1
  checkpoint: {keep: 3}
stages:
  - {name: fetch, kind: process, script: run.py, expected: 5m, inputs: {all: "s3://whole"}}
  - name: shared
    script: run.py
    needs: [fetch]
    inputs: {raw: s3://elsewhere/raw/2026, table: table.csv}
    checkpoint: {s3_uri: s3://elsewhere/checkpoints/shared}
    network: {subnets: [subnet-1], security_groups: [sg-1]}
    encryption: {volume_key: alias/volumes, output_key: 11111111-2222-3333-4444-555555555555}
  - name: apart
    script: run.py
    needs: [fetch]
    role: arn:aws:iam::123456789012:role/team/apart
    checkpoint: null
  - name: sweep
    kind: sweep
    script: run.py
    needs: [shared, apart]
    inputs: {model: "{{ shared.outputs.model }}"}
    grid: {rate: RATES}
    best: {metric: accuracy}
    checkpoint: {s3_uri: s3://elsewhere/checkpoints/sweep/}
  - {name: register, kind: register, model: "{{ shared.outputs.model }}"}
""".replace("RATES", str(list(range(50))))
KEY = "arn:aws:kms:us-east-1:123456789012:key/aaaaaaaa-0000-0000-0000-000000000000"
TRIGGERS = {
    "schedule": {
        "expression": "cron(0 6 ? * MON-FRI *)",
        "timezone": "Europe/Berlin",
        "flexible_minutes": 15,
        "retries": 3,
        "longest_age": "2h",
        "input": {"budget_usd": 20},
    },
    "api": {"rate": 2, "burst": 4},
}

Template = Mapping[str, Any]
BY_ID = {f"ApiGateway::{kind}" for kind in ("RestApi", "Resource", "Deployment", "RequestValidator")}


def write_everything(folder: Path) -> str:
    """The pipeline that uses everything, as a file; its path."""
    (folder / "run.py").write_text("print('done')\n")
    (folder / "table.csv").write_text("1,2\n")
    (folder / "pipeline.yaml").write_text(EVERYTHING)
    return str(folder / "pipeline.yaml")


class Resolved:
    """A template with its references resolved as CloudFormation would in the local world's account."""

    def __init__(self, template: Template) -> None:
        self.resources: Mapping[str, Any] = template["Resources"]

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """Logical id -> resolved properties of the resources of a type such as `IAM::Role`."""
        return {
            name: self.value(resource.get("Properties", {}))
            for name, resource in self.resources.items()
            if resource["Type"] == f"AWS::{kind}"
        }

    def machine(self, name: str) -> dict[str, Any]:
        """The properties of the state machine of that name."""
        machines = self.of_type("StepFunctions::StateMachine").values()
        return next(machine for machine in machines if machine["StateMachineName"] == name)

    def statements(self, role_arn: str) -> list[dict[str, Any]]:
        """The policy statements of a role of the template."""
        policies = self.of_type("IAM::Role")[role_arn.rpartition("/")[2]].get("Policies", [])
        return [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]

    def value(self, value: Any) -> Any:
        """A part of the template, resolved; KeyError for a reference to what is not known here."""
        if isinstance(value, list):
            return [self.value(each) for each in value]
        if not isinstance(value, Mapping):
            return value
        if len(value) == 1:
            ((name, inner),) = value.items()
            if name == "Ref":
                return self._ref(inner)
            if name == "Fn::GetAtt":
                return self._attribute(*inner)
            if name == "Fn::Join":
                separator, parts = inner
                return str(separator).join(self.value(parts))
            assert not name.startswith("Fn::"), f"{name} is not known here"
        return {key: self.value(each) for key, each in value.items()}

    def _ref(self, name: str) -> str:
        pseudo = {
            "AWS::AccountId": ACCOUNT,
            "AWS::Region": REGION,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
        }
        if name in pseudo:
            return pseudo[name]
        kind = self.resources[name]["Type"].removeprefix("AWS::")
        if kind in BY_ID:
            return name.lower()
        properties = self.value(self.resources[name]["Properties"])
        known = {
            "StepFunctions::StateMachine": lambda: _arn(
                "states", f"stateMachine:{properties['StateMachineName']}"
            ),
            "StepFunctions::StateMachineVersion": lambda: f"{properties['StateMachineArn']}:1",
            "StepFunctions::StateMachineAlias": lambda: self._alias(properties),
            "S3::Bucket": lambda: properties["BucketName"],
            "SNS::Topic": lambda: _arn("sns", properties["TopicName"]),
            "Logs::LogGroup": lambda: properties["LogGroupName"],
            "SQS::Queue": lambda: f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}",
            "Scheduler::ScheduleGroup": lambda: properties["Name"],
            "ApiGateway::Stage": lambda: properties["StageName"],
        }
        return str(known[kind]())

    def _alias(self, properties: Mapping[str, Any]) -> str:
        version = properties["RoutingConfiguration"][0]["StateMachineVersionArn"]
        return f"{version.rpartition(':')[0]}:{properties['Name']}"

    def _attribute(self, name: str, attribute: str) -> str:
        kind = self.resources[name]["Type"].removeprefix("AWS::")
        known = {
            ("IAM::Role", "Arn"): f"arn:aws:iam::{ACCOUNT}:role/{name}",
            ("Logs::LogGroup", "Arn"): _arn("logs", f"log-group:{name}:*"),
            ("SQS::Queue", "Arn"): _arn("sqs", name),
            ("SQS::Queue", "QueueName"): name,
            ("ApiGateway::RestApi", "RootResourceId"): "root",
            ("S3::Bucket", "Arn"): f"arn:aws:s3:::{name}",
            ("KMS::Key", "Arn"): _arn("kms", f"key/{name}"),
            ("CloudWatch::Alarm", "Arn"): _arn("cloudwatch", f"alarm:{name}"),
            ("StepFunctions::StateMachine", "StateMachineRevisionId"): f"revision-of-{name}",
        }
        return known[kind, attribute]


def text_of(template: Template) -> str:
    """The template as it is kept and compared."""
    return json.dumps(template, indent=1, ensure_ascii=False) + "\n"


def _arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"
