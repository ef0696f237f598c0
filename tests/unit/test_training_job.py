import io
import re
import tarfile
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflows.jobs.code_archive import SourceError, pack
from workflows.jobs.job_names import job_base, stage_id
from workflows.jobs.kinds import job_of
from workflows.local.step_functions.jsonata.expressions import Expressions
from workflows.local.step_functions.jsonata.json_values import prepare
from workflows.specification.stages import TrainStage
from workflows.state_machine.start import identity

EXPRESSIONS = Expressions(lambda: datetime(2026, 1, 1, tzinfo=UTC), 0)
NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")  # TrainingJobName, CreateTrainingJob API reference
names = st.from_regex(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True)
executions = st.text(
    st.characters(blacklist_characters='<>{}[]?*"#%\\^|~`$&,;:/', min_codepoint=33, codec="utf-8"),
    min_size=1,
    max_size=80,
)


def evaluate(expression, **variables):
    return EXPRESSIONS.evaluate(
        EXPRESSIONS.compile(expression), {k: prepare(v) for k, v in variables.items()}
    )


@settings(max_examples=200, deadline=None)
@given(names, names, executions, st.integers(0, 999), st.integers(1, 9999))
def test_a_job_name_is_valid_whatever_the_execution_is_called(pipeline, stage, execution, redrives, attempt):
    context = {
        "Execution": {
            "Id": f"arn:aws:states:us-east-1:1:execution:m:{execution}",
            "Name": execution,
            "StartTime": "2026-01-05T00:00:00.000Z",
            "RedriveCount": redrives,
        }
    }
    bound = "; ".join(f"${name} := {text}" for name, text in identity(pipeline).items())
    run = evaluate(f'({bound}; {{"id": $id, "tag": $tag}})', states={"context": context})
    print_ = stage_id(pipeline, stage) + "0123abcd"
    own = {"stage_" + stage.replace("-", "_"): {"attempt": attempt, "redrive": redrives, "print": print_}}

    name = evaluate(
        job_of(TrainStage(name=stage, script="train.py")).name(pipeline),
        run=run,
        states={"context": context},
        **own,
    )

    assert NAME.fullmatch(name)
    assert name.startswith(job_base(pipeline, stage))
    assert re.fullmatch(r"[A-Za-z0-9._-]+", run["id"])


def test_long_stage_names_that_begin_alike_get_different_job_names():
    one, other = "stage-" + "x" * 30 + "a", "stage-" + "x" * 30 + "b"

    assert job_base("p" * 30, one) == job_base("p" * 30, other)  # cut
    assert stage_id("p" * 30, one) != stage_id("p" * 30, other)


def test_equal_sources_have_equal_bytes_and_the_package_travels_with_them(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "train.py").write_text("print(1)\n")
        (tmp_path / folder / "__pycache__").mkdir()
        (tmp_path / folder / "__pycache__" / f"{folder}.pyc").write_bytes(folder.encode())

    one, two = pack(tmp_path / "one"), pack(tmp_path / "two")

    assert one == two
    with tarfile.open(fileobj=io.BytesIO(one.files["source.tar.gz"])) as archive:
        names = archive.getnames()
    assert {"train.py", "workflows/__init__.py", "workflows/checkpointing/__init__.py"} <= set(names)


def test_a_changed_script_has_another_key(tmp_path):
    (tmp_path / "train.py").write_text("print(1)\n")
    before = pack(tmp_path).key_prefix
    (tmp_path / "train.py").write_text("print(2)\n")

    assert pack(tmp_path).key_prefix != before


def test_a_local_world_in_the_folder_is_not_packed(tmp_path):
    (tmp_path / "train.py").write_text("print(1)\n")
    before = pack(tmp_path).key_prefix
    (tmp_path / "world" / "s3").mkdir(parents=True)
    (tmp_path / "world" / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55")
    (tmp_path / "world" / "s3" / "object").write_text("x")

    assert pack(tmp_path).key_prefix == before


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "secret").write_text("x")
    (tmp_path / "source" / "train.py").symlink_to(tmp_path / "secret")

    with pytest.raises(SourceError, match="points outside"):
        pack(tmp_path / "source")
