"""A pipeline written in Python: the file's variable `pipeline`, and every mistake as one clear line.

The file is a program of its user's own; it is run as `python FILE` would run it, with its folder on the
import path, and what it prints goes to stderr, because stdout is the command's own answer.
"""

from __future__ import annotations

import contextlib
import difflib
import runpy
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from workflows.errors import RelayError
from workflows.specification.images import quiet_sdk
from workflows.specification.mistakes import SpecificationError, describe, missing_files
from workflows.specification.pipeline import Pipeline
from workflows.specification.text_files import readable

VARIABLE = "pipeline"
EXAMPLE = 'pipeline = Pipeline(name="digits", stages=[TrainStage(...)])'


def load_python(path: Path) -> Pipeline:
    """The pipeline that a Python file defines, its paths relative to the file's folder, as in YAML.

    Raises SpecificationError with file and line: for an exception in the file, for a mistake in a stage, for
    a variable that is missing or no `Pipeline`, and for scripts that are not there.
    """
    readable(path)
    names = _run(path)
    if VARIABLE not in names:
        raise SpecificationError([f"{path}: defines no variable `{VARIABLE}`{_hint(names)}"])
    pipeline = names[VARIABLE]
    if not isinstance(pipeline, Pipeline):
        raise SpecificationError(
            [f"{path}: `{VARIABLE}` is a {type(pipeline).__name__}; expected a Pipeline: `{EXAMPLE}`"]
        )
    missing = [f"{path}: {place}: {what}" for _, place, what in missing_files(path.parent, pipeline)]
    if missing:
        raise SpecificationError(missing)
    return pipeline


def _run(path: Path) -> dict[str, Any]:
    quiet_sdk()
    with _beside(path.parent.resolve()), contextlib.redirect_stdout(sys.stderr):
        try:
            return runpy.run_path(str(path))
        except ValidationError as error:
            where = _place(path, error)
            raise SpecificationError([f"{where}: {line}" for line in describe(error)]) from None
        except SyntaxError as error:
            where = f"{error.filename or path}:{error.lineno}"
            raise SpecificationError([f"{where}: not Python: {error.msg}"]) from None
        except RelayError as error:
            raise SpecificationError([f"{_place(path, error)}: {error}"]) from None
        except (Exception, SystemExit) as error:
            said = " ".join(str(error).split())
            raise SpecificationError([f"{_place(path, error)}: {type(error).__name__}: {said}"]) from error


def _place(path: Path, error: BaseException) -> str:
    """`file:line` of the last line of the file itself that led to the error."""
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
    ]
    return f"{path}:{lines[-1]}" if lines else str(path)


def _hint(names: dict[str, Any]) -> str:
    others = [name for name, value in names.items() if isinstance(value, Pipeline)]
    near = difflib.get_close_matches(VARIABLE, names, 1)
    meant = (others or near or [None])[0]
    if meant:
        return f"; did you mean `{meant}`? Name it `{VARIABLE}`"
    return f"; the file of a pipeline ends with: `{EXAMPLE}`"


@contextlib.contextmanager
def _beside(folder: Path) -> Iterator[None]:
    """Modules in the folder can be imported while the file runs."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the file may have changed the path itself
            sys.path.remove(str(folder))
