"""Every mistake in a pipeline is one line: file, place, what was found, what is allowed, the nearest name."""

from pathlib import Path

import pytest

from workflows.specification.loading import json_schema, load
from workflows.specification.mistakes import SpecificationError

GOOD = """\
name: demo
defaults:
  spot: {retry_budget: 3, patience: 10m}
stages:
  - name: prepare
    kind: process
    script: prepare.py
    outputs: [data]
  - name: train
    script: train.py
    inputs: {data: "{{ prepare.outputs.data }}"}
    spot: {patience: 6m}
"""


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> Path:
        for name in ("prepare.py", "train.py"):
            (tmp_path / name).write_text("print()\n")
        path = tmp_path / "pipeline.yaml"
        path.write_text(text)
        return path

    return write


def test_a_stage_lies_over_the_defaults_field_by_field(write):
    stage = load(write(GOOD)).stage("train")

    assert stage.spot.retry_budget == 3
    assert stage.spot.patience.total_seconds() == 360


def test_a_reference_is_a_need(write):
    pipeline = load(write(GOOD))

    assert pipeline.needs(pipeline.stage("train")) == ("prepare",)


@pytest.mark.parametrize(
    ("change", "line", "message"),
    [
        (("script: train.py", "scrpt: train.py"), 10, "unknown field `scrpt`;"),
        (("script: train.py", "scrpt: train.py"), 10, "did you mean `script`?"),
        (
            ("patience: 10m", "patience: 10"),
            3,
            'defaults.spot.patience: found 10; expected a duration such as "90s"',
        ),
        (
            ("prepare.outputs.data", "prepar.outputs.data"),
            11,
            "unknown stage `prepar`; allowed: prepare, train",
        ),
        (
            ("prepare.outputs.data", "prepare.outputs.dta"),
            11,
            "unknown output of `prepare` `dta`; allowed: data",
        ),
        (("    script: train.py", "    script: tran.py"), 10, "no file `tran.py`"),
        (("    script: train.py", "    script: tran.py"), 10, "did you mean `train.py`?"),
        (("name: train", "name: prepare"), 9, "two stages are named `prepare`"),
        (("name: train", "name: Train"), 9, 'found "Train"; allowed: a name of 1 to 40 lower-case letters'),
        (("kind: process", "kind: proces"), 5, "`kind` must be one of: train, process"),
        (
            ("outputs: [data]", "outputs: [data]\n    needs: [train]"),
            4,
            "need each other in a circle: prepare -> train",
        ),
        (("script: train.py", "script: ../train.py"), 9, "`script` must be a path inside"),
        (("retry_budget: 3", "retry_budget: -1"), 3, "expected at least 0"),
        (("patience: 10m", "patience: 4m"), 3, "expected 5m to 28d"),
        (("retry_budget: 3", "retry_budget: 3, retry_budget: 4"), 3, "the key `retry_budget` stands twice"),
        (("stages:", "stages: [\n"), 6, "not YAML"),
        (
            ("    spot: {patience: 6m}", "    expected: 2h\n    checkpoint: null"),
            9,
            "spot without a checkpoint",
        ),
        (("name: demo\n", "name: de--mo\n"), 1, "name has no two hyphens in a row"),
        (("name: demo\n", ""), 1, "the field `name` is missing"),
        (("    script: train.py\n", ""), 9, "stages[1]: the field `script` is missing"),
        (
            ("    script: train.py", "    tags: {'aws:x': y}\n    script: train.py"),
            10,
            'stages[1].tags.aws:x: found "aws:x"; tags that begin with',
        ),
    ],
)
def test_a_mistake_is_one_clear_line(write, change, line, message):
    path = write(GOOD.replace(*change))

    with pytest.raises(SpecificationError) as caught:
        load(path)

    assert len(caught.value.problems) == 1, caught.value.problems
    assert caught.value.problems[0].startswith(f"{path}:{line}:")
    assert message in caught.value.problems[0]


def test_a_missing_file_names_the_one_that_was_meant(write):
    path = write(GOOD)

    with pytest.raises(SpecificationError, match=r"no such file; did you mean `.*pipeline.yaml`"):
        load(path.with_name("pipline.yaml"))


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just text", "!!python/object/apply:os.system ['true']"])
def test_what_is_no_pipeline_at_all_is_refused(write, text):
    with pytest.raises(SpecificationError):
        load(write(text))


def test_the_schema_for_editors_accepts_the_example():
    import jsonschema
    import yaml

    example = Path(__file__).parents[2] / "workflows/examples/digits/pipeline.yaml"

    written = yaml.safe_load(example.read_text())
    validator = jsonschema.Draft202012Validator(json_schema())

    assert [error.message for error in validator.iter_errors(written)] == []
    assert not validator.is_valid({**written, "stagse": []})
