"""A pipeline in Python, and every mistake in it as one clear line with file and line."""

import pytest

from workflows.specification.loading import load
from workflows.specification.mistakes import SpecificationError

GOOD = """\
from workflows.specification.pipeline import Pipeline, TrainStage

pipeline = Pipeline(
    name="demo",
    stages=[TrainStage(name="train", script="train.py", spot={"retry_budget": 3})],
)
"""


@pytest.fixture
def write(tmp_path):
    def write(text):
        (tmp_path / "train.py").write_text("print()\n")
        path = tmp_path / "pipeline.py"
        path.write_text(text)
        return path

    return write


def problems(path):
    with pytest.raises(SpecificationError) as caught:
        load(path)
    return caught.value.problems


def test_a_pipeline_is_the_variable_of_that_name(write):
    found = load(write(GOOD))

    assert found.name == "demo"
    assert found.stage("train").spot.retry_budget == 3


def test_modules_beside_the_file_can_be_imported(write):
    path = write("from beside_the_pipeline import NAME\n" + GOOD.replace('"demo"', "NAME"))
    path.with_name("beside_the_pipeline.py").write_text("NAME = 'imported'\n")

    assert load(path).name == "imported"


def test_what_the_file_prints_does_not_go_to_stdout(write, capsys):
    load(write("print('hello')\n" + GOOD))

    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "hello\n")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("pipeline = ", "piepline = "), ": defines no variable `pipeline`; did you mean `piepline`?"),
        ((GOOD, "x = 1\n"), ": defines no variable `pipeline`; the file of a pipeline ends with: "),
        ((GOOD, "pipeline = [1]\n"), ": `pipeline` is a list; expected a Pipeline: "),
        (('name="demo"', 'name="demo" + 1'), ':4: TypeError: can only concatenate str (not "int") to str'),
        (('name="demo",', "name=,"), ":4: not Python: invalid syntax"),
        (("import Pipeline,", "import Pipline,"), ":1: ImportError: cannot import name 'Pipline'"),
        (("stages=", "stage="), ":3: stage: unknown field `stage`; allowed: "),
        (("stages=", "stage="), "; did you mean `stages`?"),
        (("script=", "scrpt="), ":5: TrainStage: scrpt: unknown field `scrpt`; allowed: "),
        (("script=", "scrpt="), "; did you mean `script`?"),
        ((', script="train.py"', ""), ":5: TrainStage: the field `script` is missing"),
        (
            ('"retry_budget": 3', '"retry_budget": -1'),
            ":5: TrainStage: spot.retry_budget: found -1; expected at",
        ),
        (('"retry_budget"', '"retries"'), ":5: TrainStage: spot.retries: unknown field `retries`; allowed: "),
        (
            ("spot=", 'needs=["prepare"], spot='),
            ":3: stages[0].needs[0]: unknown stage `prepare`; allowed: train",
        ),
        (('"train.py"', '"tran.py"'), ": stages[0].script: no file `tran.py` in "),
        (('"train.py"', '"tran.py"'), "; did you mean `train.py`?"),
        (("pipeline = ", "raise SystemExit('bye')\npipeline = "), ":3: SystemExit: bye"),
    ],
)
def test_a_mistake_is_one_clear_line(write, change, message):
    path = write(GOOD.replace(*change))

    (problem,) = problems(path)

    assert problem.startswith(str(path))
    assert message in problem
    assert "\n" not in problem


def test_a_mistake_in_a_module_beside_it_names_the_line_that_led_to_it(write):
    path = write("import broken_beside_the_pipeline\n" + GOOD)
    path.with_name("broken_beside_the_pipeline.py").write_text("\n\n1 / 0\n")

    assert problems(path) == [f"{path}:1: ZeroDivisionError: division by zero"]


def test_several_mistakes_are_several_lines(write):
    path = write(GOOD.replace('"retry_budget": 3', '"retry_budget": -1, "patience": "1m"'))

    assert [problem.rpartition(": found")[0] for problem in problems(path)] == [
        f"{path}:5: TrainStage: spot.retry_budget",
        f"{path}:5: TrainStage: spot.patience",
    ]


def test_a_missing_file_names_the_one_that_was_meant(write):
    path = write(GOOD)

    assert problems(path.with_name("pipline.py")) == [
        f"{path.with_name('pipline.py')}: no such file; did you mean `{path}`?"
    ]


def test_an_estimator_that_cannot_be_carried_is_refused_at_its_line(write):
    estimator = """\
from sagemaker.sklearn import SKLearn
from workflows.specification.estimators import from_estimator, offline_session
made = SKLearn("train.py", framework_version="1.2-1", role="training", instance_type="ml.m5.xlarge",
               sagemaker_session=offline_session())
"""
    made = GOOD.replace('TrainStage(name="train", script="train.py", ', 'from_estimator("train", made, ')

    (problem,) = problems(write(estimator + made))

    assert "pipeline.py:9: role is the name `training`: give the whole ARN" in problem
