"""Stages that process data: CreateProcessingJob, which knows no spot, and what DescribeProcessingJob says."""

from __future__ import annotations

import json
from collections.abc import Iterator

from workflows.jobs.job import RESULT, Job, Json, tag_list, text_of, whole_seconds
from workflows.jobs.job_settings import processing_settings
from workflows.jobs.job_types import PROCESSING
from workflows.jobs.jsonata_text import jsonata, millis, or_else
from workflows.jobs.site import Materials, Site
from workflows.jobs.training import place_before
from workflows.specification.pipeline import Pipeline
from workflows.specification.settings import laid_over
from workflows.specification.stages import Market, ProcessStage

CODE = "/opt/ml/processing/input/code"


class ProcessingJob(Job[ProcessStage]):
    """A processing; a later attempt begins anew and overwrites the outputs of an earlier one."""

    type = PROCESSING
    resumes = False

    def requests(
        self, pipeline: Pipeline, site: Site, materials: Materials, *, slack: str
    ) -> Iterator[tuple[Market, dict[str, Json]]]:
        stage = self.stage
        request = {
            "ProcessingJobName": jsonata(self.name(pipeline.name)),
            "AppSpecification": {
                "ImageUri": self.image(materials),
                "ContainerEntrypoint": ["python3", f"{CODE}/launch.py"],
                "ContainerArguments": self._arguments(),
            },
            "RoleArn": site.job_role_arn,
            "ProcessingInputs": [
                {"InputName": name, "S3Input": _input(name, uri)}
                for name, uri in self.inputs(materials).items()
            ],
            "ProcessingOutputConfig": {"Outputs": [self._output(site, name) for name in stage.outputs]},
            "ProcessingResources": {"ClusterConfig": self.cluster()},
            "StoppingCondition": {"MaxRuntimeInSeconds": whole_seconds(stage.limit)},
            "Environment": self.environment(),
            "Tags": tag_list(self.tags(pipeline)),
        }
        yield "on-demand", laid_over(request, processing_settings(stage))

    def _arguments(self) -> Json:
        """The script and its arguments, each as `--NAME VALUE`."""
        if not self.stage.arguments:
            return [self.stage.script]
        pair = '["--" & $k, $lookup($p, $k)]'
        script = json.dumps(self.stage.script)
        words = f"$reduce($keys($p), function($w, $k) {{ $append($w, {pair}) }}, [{script}])"
        return jsonata(f"($p := {self.settings}.parameters; {words})")

    def _output(self, site: Site, name: str) -> dict[str, Json]:
        destination = {
            "S3Uri": jsonata(self.uri(site, f"/output/{name}")),
            "LocalPath": f"/opt/ml/processing/output/{name}",
            "S3UploadMode": "EndOfJob",
        }
        return {"OutputName": name, "S3Output": destination}

    # ------------------------------------------------------------------------- what SageMaker says of a job
    def end(self) -> dict[str, str]:
        facts = {
            "status": f"{RESULT}.ProcessingJobStatus",
            "secondary": '""',
            "reason": f"$trim({text_of(f'{RESULT}.FailureReason')})",
            "error": '""',
            "held": '""',
            "whole": "true",
        }
        return {**facts, **self.figures()}

    def figures(self) -> dict[str, str]:
        """A processing job has no billable seconds and bills from its start to its end."""
        created = f"{RESULT}.CreationTime"
        start, end = f"{RESULT}.ProcessingStartTime", f"{RESULT}.ProcessingEndTime"
        ran = f"($exists({start}) and $exists({end}) ? $round(({millis(end)} - {millis(start)}) / 1000) : 0)"
        return {
            "trained": f"$exists({start})",
            "trained_seconds": ran,
            "billed_seconds": ran,
            "seen": "0",
            "created": created,
            "ended": or_else(end, f"{RESULT}.LastModifiedTime"),
            "queued": f"($exists({start}) ? $round(({millis(start)} - {millis(created)}) / 1000) : 0)",
        }

    # ----------------------------------------------------------------------------------------- what it leaves
    def outputs(self, site: Site) -> dict[str, str]:
        return {name: self.uri(site, f"/output/{name}") for name in self.stage.outputs}

    def found_place(self, site: Site) -> str:
        if not self.stage.outputs:
            return f"{self.own}.place"
        uri = f"{RESULT}.ProcessingOutputConfig.Outputs[0].S3Output.S3Uri"
        return place_before(uri, site, f"/output/{self.stage.outputs[0]}")


def _input(name: str, uri: str) -> dict[str, Json]:
    return {
        "S3Uri": uri,
        "LocalPath": f"/opt/ml/processing/input/{name}",
        "S3DataType": "S3Prefix",
        "S3InputMode": "File",
        "S3DataDistributionType": "FullyReplicated",
    }
