"""What a pipeline brings along: the code of its stages and its local data, under keys of its own.

    PIPELINE/code/<digest>/...    PIPELINE/inputs/<digest>/...    beside PIPELINE/runs/

The digest is that of the content. Equal content has an equal key, so an upload that is there already is not
repeated, and a machine text that names the keys says exactly what it runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflows.errors import RelayError
from workflows.jobs.code_archive import SOURCEDIR, Source, pack
from workflows.jobs.site import INPUTS, Materials
from workflows.specification.pipeline import Pipeline
from workflows.specification.settings import Image
from workflows.specification.stages import REFERENCE, JobStage, RegisterStage

ImageOf = Callable[[Image, str], str]  # (image, instance type) -> registry URI


class MaterialError(RelayError):
    """An input of the pipeline cannot be read."""


@dataclass(frozen=True)
class Packed:
    """Everything to upload (key -> bytes or file), and what each stage then builds on."""

    uploads: dict[str, bytes | Path]
    stages: dict[str, Materials]


def gather(pipeline: Pipeline, folder: Path, bucket: str, image_of: ImageOf) -> Packed:
    """Reads code and local inputs, which are relative to `folder` (where the YAML file is).

    Raises MaterialError or SourceError for what is not there or leaves its folder.
    """
    uploads: dict[str, bytes | Path] = {}
    sources: dict[tuple[str, ...], Source] = {}
    stages: dict[str, Materials] = {}
    for register in pipeline.of_kind(RegisterStage):
        stages[register.name] = Materials("", {"": _serving_image(pipeline, register, image_of)})
    for stage in pipeline.jobs:
        code_prefix = ""
        if stage.script:
            source = _packed_once(sources, folder, (stage.source, *stage.dependencies))
            key = source.key_prefix(pipeline.name)
            uploads |= {key + name: data for name, data in source.files.items()}
            if stage.in_script_mode:
                uploads[key + SOURCEDIR] = source.sourcedir()
            code_prefix = f"s3://{bucket}/{key}"
        inputs = {}
        for channel, place in _local_inputs(stage, folder):
            digest, files = _read(place)
            key = f"{pipeline.name}/{INPUTS}{digest}/"
            uploads |= {key + name: path for name, path in files.items()}
            inputs[channel] = f"s3://{bucket}/{key}"
        images = {kind: image_of(stage.image, kind) for kind in stage.instance_types()}
        stages[stage.name] = Materials(code_prefix, images, inputs)
    return Packed(uploads, stages)


def upload(packed: Packed, s3: Any, bucket: str) -> int:
    """Uploads what is not there yet with a boto3 S3 client; returns how many objects that were."""
    count = 0
    for key, content in packed.uploads.items():
        if _exists(s3, bucket, key):
            continue
        if isinstance(content, Path):
            s3.upload_file(str(content), bucket, key)
        else:
            s3.put_object(Bucket=bucket, Key=key, Body=content)
        count += 1
    return count


def _packed_once(sources: dict[tuple[str, ...], Source], folder: Path, places: tuple[str, ...]) -> Source:
    """The source of a folder and its dependencies; stages that share them share the archive."""
    if places not in sources:
        sources[places] = pack(*(folder / place for place in places))
    return sources[places]


def _serving_image(pipeline: Pipeline, stage: RegisterStage, image_of: ImageOf) -> str:
    """The stage's own image, or the one that trained the model: framework images also serve."""
    source = next(each for each in pipeline.jobs if each.name == stage.of)
    return image_of(stage.image or source.image, source.on_demand_rungs()[0].type)


def _local_inputs(stage: JobStage, folder: Path) -> Iterator[tuple[str, Path]]:
    for channel, value in stage.inputs.items():
        if REFERENCE.match(value) or value.startswith("s3://"):
            continue
        place = folder / value
        if not place.exists():
            raise MaterialError(f"stage `{stage.name}`, input `{channel}`: no file or folder {place}")
        yield channel, place


def _read(place: Path) -> tuple[str, dict[str, Path]]:
    """The digest of a file or folder, and its files by their relative names."""
    paths = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
    root = place.parent if place.is_file() else place
    digest, files = hashlib.sha256(), {}
    for path in paths:
        name = path.relative_to(root).as_posix()
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{name}\0{content}\n".encode())
        files[name] = path
    return digest.hexdigest()[:32], files


def _exists(s3: Any, bucket: str, key: str) -> bool:
    found = s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("Contents", [])
    return any(item["Key"] == key for item in found)
