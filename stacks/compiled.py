"""A pipeline compiled for an account that is known only when it is deployed.

The machine's text reckons with the length of the bucket's name, so the name's length must be known here: an
account number has twelve digits, and so has what stands for it until CloudFormation puts it in.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from stacks.settings import ACCOUNT_DIGITS, Settings
from workflows.jobs.materials import Packed, gather
from workflows.jobs.site import Site
from workflows.specification.images import image_uri
from workflows.specification.loading import load
from workflows.specification.mistakes import SpecificationError
from workflows.specification.pipeline import Pipeline
from workflows.specification.settings import Encryption, Network
from workflows.specification.stages import AnyStage, JobStage
from workflows.state_machine.check import problems_of
from workflows.state_machine.graph import compile_pipeline
from workflows.state_machine.watch import watch_of

# No user writes these, and JSON and JSONata leave them as they are.
ACCOUNT = "_0ACCOUNT_0_"
JOB_ROLE = "_0JOB_ROLE_0_"
assert len(ACCOUNT) == ACCOUNT_DIGITS


@dataclass(frozen=True)
class Compiled:
    """A pipeline as it is deployed, the text of both its machines, and what there is to upload."""

    pipeline: Pipeline
    images: frozenset[str]  # registry URIs of the jobs that run under the pipeline's own role
    machine: str
    watch: str
    packed: Packed

    def texts(self, *, account: str, job_role: str) -> tuple[str, str]:
        """Machine and watch with what the deployment knows; either may be a token of CDK."""
        machine, watch = (
            text.replace(ACCOUNT, account).replace(JOB_ROLE, job_role) for text in (self.machine, self.watch)
        )
        return machine, watch


def compile_for(path: Path, settings: Settings) -> Compiled:
    """The pipeline in a file, compiled. Raises SpecificationError, and what `gather` raises."""
    pipeline = _placed(load(path), settings)
    site = Site(settings.bucket_name(ACCOUNT), JOB_ROLE, settings.partition, settings.table_name)
    packed = gather(
        pipeline, path.parent, site.bucket, lambda image, kind: image_uri(image, kind, settings.region)
    )
    definition = compile_pipeline(pipeline, site, packed.stages)
    problems = problems_of(pipeline, definition)
    if problems:
        raise SpecificationError([f"{path}: {problem}" for problem in problems])
    images = [
        uri
        for stage in pipeline.jobs
        if stage.role is None
        for uri in packed.stages[stage.name].images.values()
    ]
    watch = watch_of(pipeline, site)
    return Compiled(pipeline, frozenset(images), json.dumps(definition), json.dumps(watch), packed)


def _placed(pipeline: Pipeline, settings: Settings) -> Pipeline:
    """The pipeline with the installation's network and key where a stage names none of its own."""
    stages = tuple(_stage_placed(stage, settings) for stage in pipeline.stages)
    return pipeline.model_copy(update={"stages": stages})


def _stage_placed(stage: AnyStage, settings: Settings) -> AnyStage:
    if not isinstance(stage, JobStage):
        return stage
    placed: dict[str, Network | Encryption] = {}
    if not stage.network.subnets:
        own = {name: getattr(stage.network, name) for name in stage.network.model_fields_set}
        placed["network"] = settings.network.model_copy(update=own)
    if settings.kms_key and not stage.encryption.output_key:
        placed["encryption"] = stage.encryption.model_copy(update={"output_key": settings.kms_key})
    return stage.model_copy(update=placed)
