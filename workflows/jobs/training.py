"""Stages that train: CreateTrainingJob on spot and on demand, and what DescribeTrainingJob says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Generic, TypeVar

from workflows.jobs.checkpoints import checkpoint_bucket, checkpoint_folder, checkpoint_uri
from workflows.jobs.job import RESULT, Job, Json, tag_list, text_of, whole_seconds
from workflows.jobs.job_settings import training_settings
from workflows.jobs.job_types import TRAINING
from workflows.jobs.jsonata_text import jsonata, millis, or_else
from workflows.jobs.launching import launching
from workflows.jobs.site import Materials, Site
from workflows.jobs.watch_pattern import WAITING
from workflows.jobs.watched import watched_environment, watched_tags
from workflows.specification.pipeline import Pipeline
from workflows.specification.settings import laid_over
from workflows.specification.stages import Market, SweepStage, TrainStage

T = TypeVar("T", bound=TrainStage)


class TrainingJob(Job[T], Generic[T]):
    """A training; attempts on both markets share the checkpoint prefix."""

    type = TRAINING
    resumes = True

    def requests(
        self, pipeline: Pipeline, site: Site, materials: Materials, *, slack: str
    ) -> Iterator[tuple[Market, dict[str, Json]]]:
        if self.stage.on_spot:
            yield "spot", self._on_spot(self._request(pipeline, site, materials), slack)
        if self.stage.on_demand.enabled:
            yield "on-demand", self._on_demand(self._request(pipeline, site, materials))

    def _request(self, pipeline: Pipeline, site: Site, materials: Materials) -> dict[str, Json]:
        stage = self.stage
        channels = [self._channel(name, uri) for name, uri in self.inputs(materials).items()]
        request: dict[str, Json] = {
            "TrainingJobName": jsonata(self.name(pipeline.name)),
            "AlgorithmSpecification": {
                "TrainingImage": self.image(materials),
                "TrainingInputMode": stage.input_mode,
                **launching(self.stage).algorithm,
            },
            "RoleArn": site.job_role_arn,
            "InputDataConfig": channels,
            "OutputDataConfig": {"S3OutputPath": jsonata(self.uri(site, "/output"))},
            "ResourceConfig": self.cluster(),
            "StoppingCondition": {"MaxRuntimeInSeconds": whole_seconds(stage.limit)},
            "EnableManagedSpotTraining": False,
            "HyperParameters": jsonata(self._all_parameters()),
            "Environment": self.environment(),
            "Tags": self.tags(pipeline),
        }
        if stage.checkpoint:
            # Without the `/` at its end, `run-1` would restore the files of `run-10` as well.
            uri = f'"s3://{checkpoint_bucket(stage, site)}/" & {checkpoint_folder(stage)} & "/"'
            request["CheckpointConfig"] = {"S3Uri": jsonata(uri), "LocalPath": stage.checkpoint.local_path}
        if not channels:
            del request["InputDataConfig"]  # AWS takes at least one channel, or none of the member
        return request

    def _on_spot(self, request: dict[str, Json], slack: str) -> dict[str, Json]:
        # MaxWait counts waiting and running together and must not be below MaxRuntime.
        limit = request["StoppingCondition"]["MaxRuntimeInSeconds"]
        request["StoppingCondition"]["MaxWaitTimeInSeconds"] = jsonata(f"{limit} + {self.settings}.patience")
        request["EnableManagedSpotTraining"] = True
        request["Environment"] |= watched_environment(self.stage, slack)
        request["Tags"] |= watched_tags(self.stage)
        return self._finished(request)

    def _on_demand(self, request: dict[str, Json]) -> dict[str, Json]:
        if self.stage.on_demand.preferences:
            # All rungs in one request: SageMaker takes the first that it has.
            ladder = f'{self.settings}."on-demand"'
            request["ResourceConfig"] = {
                "InstancePreferences": jsonata(
                    f'[{ladder}.{{"InstanceType": type, "InstanceCount": count}}]'
                ),
                "VolumeSizeInGB": self.stage.volume_gb,
            }
        return self._finished(request)

    def _finished(self, request: dict[str, Json]) -> dict[str, Json]:
        request["Tags"] = tag_list(request["Tags"] | self.last_tags())
        return laid_over(request, training_settings(self.stage))

    def last_tags(self) -> dict[str, str]:
        """Tags after all others."""
        return {}

    def parameters(self) -> str:
        """The expression of the hyperparameters: the stage's, under those of the run's input."""
        return f"{self.settings}.parameters"

    def _all_parameters(self) -> str:
        """With those that the way of launching adds."""
        own = launching(self.stage).parameters
        return f"$merge([{self.parameters()}, {own}])" if own else self.parameters()

    def environment(self) -> dict[str, str]:
        found = super().environment() | launching(self.stage).environment
        if self.stage.checkpoint:
            found |= {
                "RELAY_CHECKPOINT_KEEP": str(self.stage.checkpoint.keep),
                "RELAY_CHECKPOINT_SHORTEST": str(self.stage.checkpoint.shortest.total_seconds()),
                "RELAY_CHECKPOINT_LONGEST": str(self.stage.checkpoint.longest.total_seconds()),
                "RELAY_CHECKPOINT_FOLDER": self.stage.checkpoint.local_path,
            }
        return found

    def _channel(self, name: str, uri: str) -> dict[str, Json]:
        """The code is always files: the launcher is started from there."""
        source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
        mode = "File" if name == "code" else self.stage.input_mode
        return {"ChannelName": name, "DataSource": {"S3DataSource": source}, "InputMode": mode}

    # ------------------------------------------------------------------------- what SageMaker says of a job
    def end(self) -> dict[str, str]:
        facts = {
            "status": f"{RESULT}.TrainingJobStatus",
            "secondary": f"{RESULT}.SecondaryStatus",
            "reason": f"$trim({text_of(f'{RESULT}.FailureReason')})",
            "error": '""',
            "held": '""',
            "whole": "false",
        }
        return {**facts, **self.figures()}

    def figures(self) -> dict[str, str]:
        """BillableTimeInSeconds may be absent: then it is 0 for a job that never got instances, else null."""
        trained = f"$exists({RESULT}.TrainingStartTime)"
        return {
            "trained": trained,
            "trained_seconds": or_else(f"{RESULT}.TrainingTimeInSeconds", "0"),
            "billed_seconds": or_else(f"{RESULT}.BillableTimeInSeconds", f"({trained} ? null : 0)"),
            "seen": f"$count({RESULT}.SecondaryStatusTransitions[Status = 'Interrupted'])",
            "created": f"{RESULT}.CreationTime",
            # TrainingEndTime is that of jobs that got instances.
            "ended": or_else(f"{RESULT}.TrainingEndTime", f"{RESULT}.LastModifiedTime"),
            "queued": _without_instances(),
            # Of a job that named several types (InstancePreferences): the one that it got.
            "type": f"{RESULT}.ResourceConfig.SelectedInstanceType",
        }

    def metrics(self) -> str:
        """The last value of every metric, by its name; what the script reported itself goes before what
        SageMaker read in its output."""
        listed = f"{RESULT}.FinalMetricDataList.{{MetricName: Value}}"
        reported = '($type($p.metrics) = "object" ? $p.metrics : {})'
        return f"$merge($append($append([{{}}], {listed}), {reported}))"

    # ----------------------------------------------------------------------------------------- what it leaves
    def outputs(self, site: Site) -> dict[str, str]:
        return {"model": f'{self.uri(site, "/output/")} & {self.own}.job & "/output/model.tar.gz"'}

    def found_place(self, site: Site) -> str:
        return place_before(f"{RESULT}.OutputDataConfig.S3OutputPath", site, "/output")

    def left_besides(self, site: Site) -> dict[str, str]:
        return {"report": f"$exists($s.final) ? {checkpoint_uri(self.stage, site, 'complete.json')}"}


class TrialJob(TrainingJob[SweepStage]):
    """The trainings of a sweep: each trial computes something else and has its own part of every prefix."""

    @property
    def redrives(self) -> str:
        """A trial may be an execution of its own, whose redrives count from 0: those of the run before it
        began (`round`) are added."""
        return f"{self.own}.round + {self.own}.redrive"

    def parameters(self) -> str:
        """Those of the trial go before all others."""
        return f"$merge([{super().parameters()}, {self.own}.parameters])"

    def last_tags(self) -> dict[str, str]:
        return {"relay:trial": jsonata(f"$string({self.own}.trial)")}

    def left_besides(self, site: Site) -> dict[str, str]:
        return {**super().left_besides(site), "trial": "$s.trial", "parameters": "$s.parameters"}

    def line_besides(self) -> dict[str, str]:
        return {"trial": "$s.trial"}

    @property
    def seconds_after(self) -> str:
        """The trials that wait for a place need time, too."""
        return f"{super().seconds_after} - {self.own}.later"

    @property
    def differs_by_content(self) -> bool:
        return True


def place_before(uri: str, site: Site, end: str) -> str:
    """The key prefix in the site's bucket of a URI that ends in `end`, as an expression."""
    bucket = f"s3://{site.bucket}/"
    return f"$substring({uri}, {len(bucket)}, $length({uri}) - {len(bucket) + len(end)})"


def _without_instances() -> str:
    """Seconds that the job waited for its instances and their launch, at its start and after each
    interruption inside it."""
    spells = f"{RESULT}.SecondaryStatusTransitions[Status in {json.dumps(WAITING)} and $exists(EndTime)]"
    return f"$round($sum([0, {spells}.({millis('EndTime')} - {millis('StartTime')})]) / 1000)"
