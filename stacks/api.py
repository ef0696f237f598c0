"""An API of the pipeline: REST, straight to Step Functions, for whoever IAM lets in.

POST /runs              start            GET /runs               list
GET  /runs/{id}         show             POST /runs/{id}/stop    stop
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_apigateway as gateway
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from stacks.access import Role
from stacks.api_mappings import Mappings, run_input_model
from stacks.grants import ALIAS, Place
from stacks.trigger_grants import api_grants
from stacks.trigger_settings import ApiSettings
from workflows.specification.pipeline import Pipeline

JSON = "application/json"
PARAMETER = "method.request"
# Everything here is API Gateway's own word, or encoded: what a caller could put a quotation mark into (the
# user agent, say) would break the line. Neither inputs nor answers are logged.
LOGGED = {
    "request": "$context.requestId",
    "time": "$context.requestTime",
    "caller": "$context.identity.userArn",
    "address": "$context.identity.sourceIp",
    "method": "$context.httpMethod",
    "resource": "$context.resourcePath",
    "status": "$context.status",
    "from": "$context.integration.status",
    "milliseconds": "$context.responseLatency",
    "error": "$context.error.responseType",
}


class Api(Construct):
    """Each method needs a signature (IAM); another account's is refused whatever its own policies allow."""

    def __init__(
        self, scope: Construct, id_: str, *, pipeline: Pipeline, settings: ApiSettings, place: Place
    ) -> None:
        super().__init__(scope, id_)
        self.mappings = Mappings(pipeline, place)
        self.role = Role(
            self,
            "Role",
            service="apigateway.amazonaws.com",
            purpose=f"The API of the pipeline {pipeline.name}",
            grants=api_grants(pipeline, place),
            place=place,
        ).role
        self.api = gateway.RestApi(
            self,
            "Api",
            rest_api_name=f"relay-{pipeline.name}",
            description=f"Starts, lists, shows and stops runs of the pipeline {pipeline.name}",
            endpoint_types=[gateway.EndpointType.REGIONAL],
            cloud_watch_role=False,  # one for the whole account: `api_gateway_logs`
            policy=_own_account_only(place),
            default_method_options=gateway.MethodOptions(authorization_type=gateway.AuthorizationType.IAM),
            deploy_options=self._stage(settings, pipeline.name, place),
        )
        self._complete_stage(access_log(pipeline.name), place)
        self._answer_bad_bodies()
        self._methods(*self._model(pipeline))

    # ------------------------------------------------------------------------------------------- methods
    def _methods(self, model: gateway.IModel, made: gateway.CfnModel) -> None:
        checked = gateway.RequestValidator(
            self,
            "Checked",
            rest_api=self.api,
            validate_request_body=True,
            validate_request_parameters=True,
        )
        runs = self.api.root.add_resource("runs")
        run = runs.add_resource("{id}")
        key = {f"{PARAMETER}.header.Idempotency-Key": False}
        wishes = {f"{PARAMETER}.querystring.{name}": False for name in ("status", "limit", "next")}
        an_id = {f"{PARAMETER}.path.id": True}
        start = self._integration("StartExecution", "start", "started", 201)
        models = {JSON: model}
        methods = [
            runs.add_method(
                "POST", start, request_validator=checked, request_parameters=key, request_models=models
            )
        ]
        for resource, verb, action, asked, told, parameters in (
            (runs, "GET", "ListExecutions", "list", "listed", wishes),
            (run, "GET", "DescribeExecution", "show", "shown", an_id),
            (run.add_resource("stop"), "POST", "StopExecution", "stop", "stopped", an_id),
        ):
            integration = self._integration(action, asked, told, 200)
            methods.append(
                resource.add_method(
                    verb, integration, request_validator=checked, request_parameters=parameters
                )
            )
        # It names the model by a text, which CloudFormation does not see: without this it deletes the model
        # first, and API Gateway refuses ("used in other method requests").
        methods[0].node.add_dependency(made)
        for method in methods:
            for status in (201 if method is methods[0] else 200, 400, 502):
                method.add_method_response(status_code=str(status))
            why = "Callers are AWS principals and sign with IAM; there are no users to pool."
            cdk.Validations.of(method).acknowledge(cdk.Acknowledgment(id="AwsSolutions-COG4", reason=why))

    def _integration(self, action: str, asked: str, told: str, success: int) -> gateway.AwsIntegration:
        """A refusal of Step Functions' comes as 4xx, and its template says which status it becomes; what is
        neither that nor a success is nobody's business outside."""
        answers: Mapping[str, tuple[int, str | None]] = {
            told: (success, "200"),
            "refused": (400, r"4\d{2}"),
            "failed": (502, None),
        }
        return gateway.AwsIntegration(
            service="states",
            action=action,
            options=gateway.IntegrationOptions(
                credentials_role=self.role,
                passthrough_behavior=gateway.PassthroughBehavior.NEVER,
                request_templates={JSON: self.mappings.filled(asked)},
                integration_responses=[
                    gateway.IntegrationResponse(
                        status_code=str(status),
                        selection_pattern=pattern,
                        response_templates={JSON: self.mappings.filled(name, action)},
                    )
                    for name, (status, pattern) in answers.items()
                ],
            ),
        )

    def _model(self, pipeline: Pipeline) -> tuple[gateway.IModel, gateway.CfnModel]:
        """The model by its name, as methods know it, and as it is made: CDK's own type knows not all of a
        schema."""
        schema = run_input_model(pipeline)
        name = "RunInput"
        model = gateway.CfnModel(
            self, name, rest_api_id=self.api.rest_api_id, content_type=JSON, name=name, schema=schema
        )
        deployment = self.api.latest_deployment
        assert deployment
        deployment.node.add_dependency(model)
        deployment.add_to_logical_id({"model": schema})  # a new schema is a new deployment
        return gateway.Model.from_model_name(self, "Known", name), model

    def _answer_bad_bodies(self) -> None:
        """The validator's words are not escaped, as far as is documented, and hold what the caller wrote:
        so they are sent as the plain text that they are."""
        self.api.add_gateway_response(
            "BadBody",
            type=gateway.ResponseType.BAD_REQUEST_BODY,
            status_code="400",
            templates={"text/plain": "the run input is wrong: $context.error.validationErrorString"},
        )

    # --------------------------------------------------------------------------------------------- stage
    def _stage(self, settings: ApiSettings, name: str, place: Place) -> gateway.StageOptions:
        log = self._log("AccessLog", access_log(name), place)
        group = logs.LogGroup.from_log_group_name(self, "Access", log.ref)
        return gateway.StageOptions(
            stage_name=ALIAS,
            throttling_rate_limit=settings.rate,
            throttling_burst_limit=settings.burst,
            access_log_destination=gateway.LogGroupLogDestination(group),
            access_log_format=gateway.AccessLogFormat.custom(json.dumps(LOGGED)),
            logging_level=gateway.MethodLoggingLevel.ERROR,
            data_trace_enabled=False,
            metrics_enabled=True,
            tracing_enabled=True,
        )

    def _complete_stage(self, log: str, place: Place) -> None:
        stage = self.api.deployment_stage
        # API Gateway would make the group itself, and keep it for ever.
        errors = f"API-Gateway-Execution-Logs_{self.api.rest_api_id}/{ALIAS}"
        stage.node.add_dependency(self._log("ErrorLog", errors, place), self.node.find_child("AccessLog"))
        # CDK's ARN of a group ends in `:*`, which the documentation of access logs does not have.
        resource = stage.node.default_child
        assert isinstance(resource, gateway.CfnStage)
        arn = place.arn("logs", f"log-group:{log}")
        resource.add_property_override("AccessLogSetting.DestinationArn", arn)
        why = (
            "Each request is signed by a principal of this account and throttled; what a web firewall looks "
            "for (strangers, floods, markup) does not get that far."
        )
        cdk.Validations.of(stage).acknowledge(cdk.Acknowledgment(id="AwsSolutions-APIG3", reason=why))

    def _log(self, id_: str, name: str, place: Place) -> logs.CfnLogGroup:
        log = logs.CfnLogGroup(self, id_, log_group_name=name, retention_in_days=place.settings.log_days)
        log.apply_removal_policy(cdk.RemovalPolicy.DESTROY)
        return log


def access_log(pipeline: str) -> str:
    """The log group of who asked for what; under this prefix AWS needs no resource policy for each group."""
    return f"/aws/vendedlogs/apigateway/relay-{pipeline}"


def _own_account_only(place: Place) -> iam.PolicyDocument:
    """Only a denial: what this account's principals may do is for their own policies to allow."""
    return iam.PolicyDocument(
        statements=[
            iam.PolicyStatement(
                effect=iam.Effect.DENY,
                principals=[iam.AnyPrincipal()],
                actions=["execute-api:Invoke"],
                resources=["execute-api:/*"],
                conditions={"StringNotEquals": {"aws:PrincipalAccount": place.account}},
            )
        ]
    )
