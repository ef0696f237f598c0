"""File -> `Pipeline`, whichever way it is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workflows.specification.pipeline import Pipeline
from workflows.specification.python_files import load_python
from workflows.specification.yaml_files import load_yaml


def load(path: Path) -> Pipeline:
    """The pipeline in a YAML or Python file, its scripts looked up beside it. Raises SpecificationError."""
    return load_python(path) if path.suffix == ".py" else load_yaml(path)


def json_schema() -> dict[str, Any]:
    """The JSON schema of the specification, for editors (`yaml-language-server: $schema=...`)."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Relay pipeline",
        **Pipeline.model_json_schema(),
    }
