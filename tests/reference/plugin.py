"""Every evaluation of the test run is replayed in the reference JSONata at its end; one difference fails it.

--no-replay                          leaves it out
--keep-recordings=FOLDER             leaves what was recorded there, for `python -m tests.reference FOLDER`
@pytest.mark.beyond_the_reference    leaves a test out: it evaluates what takes node down (endless recursion,
                                     ranges of a million)
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.reference.engine import MissingReferenceError
from tests.reference.recorder import Recorder
from tests.reference.replay import replay

FOLDER = "recordings"
RECORDER = pytest.StashKey[Recorder]()
REPORT = pytest.StashKey[list[str]]()
SHOWN = 10  # differences; the others are counted


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-replay", action="store_true", help="do not ask the reference JSONata")
    parser.addoption("--keep-recordings", metavar="FOLDER", help="where the recorded evaluations stay")


def is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--no-replay"):
        return
    if is_worker(config):
        folder, name = Path(config.workerinput[FOLDER]), str(config.workerinput["workerid"])  # type: ignore[attr-defined]
    else:
        kept = config.getoption("--keep-recordings")
        folder, name = Path(kept or tempfile.mkdtemp(prefix="relay-recordings-")), "only"
        folder.mkdir(parents=True, exist_ok=True)
        config.stash[REPORT] = []
    setattr(config, FOLDER, folder)
    if is_worker(config) or not getattr(config.option, "numprocesses", None):
        config.stash[RECORDER] = Recorder(folder / f"{name}.jsonl")
        config.stash[RECORDER].start()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker where to write."""
    if hasattr(node.config, FOLDER):
        node.workerinput[FOLDER] = str(getattr(node.config, FOLDER))


def pytest_runtest_setup(item: pytest.Item) -> None:
    recorder = item.config.stash.get(RECORDER, None)
    if recorder is not None:
        recorder.next_test(paused=item.get_closest_marker("beyond_the_reference") is not None)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """When all workers have ended: ask the reference."""
    config = session.config
    recorder = config.stash.get(RECORDER, None)
    if recorder is not None:
        recorder.stop()
    if is_worker(config) or not hasattr(config, FOLDER):
        return
    folder: Path = getattr(config, FOLDER)
    try:
        _judge(session, folder, config.stash[REPORT])
    finally:
        if not config.getoption("--keep-recordings"):
            shutil.rmtree(folder, ignore_errors=True)


def _judge(session: pytest.Session, folder: Path, report: list[str]) -> None:
    if not any(file.stat().st_size for file in folder.glob("*.jsonl")):
        return
    try:
        verdict = replay(folder)
    except MissingReferenceError as missing:
        report.append(f"NOT replayed in the reference JSONata: {missing}")
        if os.environ.get("CI"):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        return
    report.append(verdict.report())
    report += [f"difference {number}:\n{each}" for number, each in enumerate(verdict.differences[:SHOWN], 1)]
    if verdict.differences:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for line in config.stash.get(REPORT, ()):
        terminalreporter.write_line(line)
