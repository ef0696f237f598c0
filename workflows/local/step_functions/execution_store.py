"""Machines and executions on disk, so that a run survives the process that ran it.

state_dir/
  machines/<machine>.json
  executions/<machine>/<execution>/definition.json   the text it runs
                                   execution.json    status, input, resume point; replaced whole
                                   history.jsonl     one event a line, only ever appended to
                                   children/<name>/  the same of each child of its Map runs

The history is written before the resume point, so a resume point never knows more than the
history; a last line cut short by the end of the process is dropped.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from workflows.local.step_functions.execution import ABORTED, RUNNING, Execution
from workflows.local.step_functions.history import Event, History
from workflows.local.step_functions.interpreter import Interpreter
from workflows.local.step_functions.machine_records import Machine
from workflows.local.step_functions.map_run import MapRun, processor
from workflows.local.step_functions.program import Program, load_program
from workflows.local.step_functions.resume_points import restore, snapshot

STOPPED = "the local world was stopped while it ran; redrive it to go on"
_DATES = ("started", "stopped_at", "redriven_at")
_KEPT = (
    "arn",
    "name",
    "machine_arn",
    "machine_name",
    "role_arn",
    "input_text",
    "version_arn",
    "alias_arn",
    "trace_header",
    "status",
    "output_text",
    "error",
    "cause",
    "redrive_count",
)
_KEPT_OF_RUN = (
    "arn",
    "label",
    "max_concurrency",
    "tolerated_count",
    "tolerated_percentage",
    "status",
    "redrive_count",
)


class ExecutionStore:
    """Reads and writes the folder of one world."""

    def __init__(self, root: Path) -> None:
        self._machines = root / "machines"
        self._executions = root / "executions"
        self._machines.mkdir(parents=True, exist_ok=True)
        self._executions.mkdir(parents=True, exist_ok=True)
        self._written: dict[str, int] = {}

    # Machines

    def save_machine(self, machine: Machine) -> None:
        """Write a machine with its versions, aliases and tags."""
        _replace(self._machines / f"{machine.name}.json", _dump(machine.to_json()))

    def delete_machine(self, machine: Machine) -> None:
        """Forget a machine and its executions, as DeleteStateMachine does."""
        (self._machines / f"{machine.name}.json").unlink(missing_ok=True)
        shutil.rmtree(self._executions / machine.name, ignore_errors=True)

    def machines(self) -> Iterator[Machine]:
        """Read every machine."""
        for path in sorted(self._machines.glob("*.json")):
            body = _dated(json.loads(path.read_text("utf-8")))
            body["current"] = _dated(body["current"])
            for group in ("versions", "aliases"):
                body[group] = {key: _dated(item) for key, item in body[group].items()}
            yield Machine.from_json(body)

    # Executions

    def save(self, execution: Execution) -> None:
        """Append the new events, then replace the resume point."""
        folder = self._folder(execution)
        written = self._written.get(execution.arn)
        if written is None:
            folder.mkdir(parents=True, exist_ok=True)
            if execution.map_run is None:  # a child runs a part of the text of its owner
                _replace(folder / "definition.json", execution.definition)
            (folder / "history.jsonl").write_text("")
            written = 0
        events = execution.history.events
        if len(events) > written:
            with (folder / "history.jsonl").open("a", encoding="utf-8", errors="surrogatepass") as file:
                file.writelines(_dump(event) + "\n" for event in events[written:])
        self._written[execution.arn] = len(events)
        record: dict[str, Any] = {key: getattr(execution, key) for key in (*_KEPT, *_DATES)}
        record["last_event"] = execution.root.last_event
        record["frontier"] = snapshot(execution.root)
        record["map_runs"] = [_kept(run) for run in execution.map_runs]
        _replace(folder / "execution.json", _dump(record))

    def executions(self, interpreter: Interpreter) -> Iterator[Execution]:
        """Read every execution; one that was RUNNING is now ABORTED and can be redriven."""
        for path in sorted(self._executions.glob("*/*/execution.json")):
            definition = (path.parent / "definition.json").read_text("utf-8", "surrogatepass")
            program = load_program(definition, interpreter.expressions)
            execution = self._read(path.parent, interpreter, definition, program)
            if execution.status == RUNNING:
                execution.stop(None, STOPPED)
            yield execution

    def _read(
        self,
        folder: Path,
        interpreter: Interpreter,
        definition: str,
        program: Program,
        run: MapRun[Execution] | None = None,
    ) -> Execution:
        record = json.loads((folder / "execution.json").read_text("utf-8", "surrogatepass"))
        events = _events(folder / "history.jsonl")
        fields = {key: record[key] for key in _KEPT}
        fields |= {key: _moment(record[key]) for key in _DATES}
        text = fields.pop("input_text")
        execution = Execution(
            interpreter=interpreter,
            definition=definition,
            program=program,
            input=json.loads(text),
            written_input=text,
            history=History(interpreter.clock, events),
            map_run=run,
            on_save=self.save,
            **fields,
        )
        self._written[execution.arn] = len(events)
        for kept in record.get("map_runs", []):  # none in a folder of an older version
            execution.map_runs.append(self._read_run(folder, execution, kept))
        restore(execution.root, record["frontier"], record["last_event"])
        if execution.status != RUNNING:
            execution.history.closed = True
            for each in execution.map_runs:  # the process may have died between their ends and this one
                each.end(ABORTED)
        return execution

    def _read_run(self, folder: Path, owner: Execution, kept: dict[str, Any]) -> MapRun[Execution]:
        fields: dict[str, Any] = {key: kept[key] for key in _KEPT_OF_RUN}
        fields |= {key: _moment(kept[key]) for key in _DATES}
        run = MapRun(owner=owner, **fields)
        body = processor(owner.program, run.label)
        run.children = [
            self._read(folder / "children" / name, owner.interpreter, owner.definition, body, run)
            for name in kept["children"]
        ]
        return run

    def _folder(self, execution: Execution) -> Path:
        if execution.map_run is not None:
            return self._folder(execution.map_run.owner) / "children" / execution.name
        return self._executions / execution.machine_name / execution.name


def latest_moment(root: Path) -> datetime | None:
    """Return the machine time of the newest event: a new clock should not start before it.

    Machine time runs ahead of the wall while waiting is sped up.
    """
    moments = [
        events[-1]["timestamp"]
        for path in (root / "executions").rglob("history.jsonl")
        if (events := _events(path))
    ]
    return max(moments, default=None)


def _kept(run: MapRun[Execution]) -> dict[str, Any]:
    kept = {key: getattr(run, key) for key in (*_KEPT_OF_RUN, *_DATES)}
    return {**kept, "children": [child.name for child in run.children]}


def _events(path: Path) -> list[Event]:
    text = path.read_text("utf-8", "surrogatepass")
    whole, _, rest = text.rpartition("\n")
    if rest:
        # Cut the torn line off, or the next event would be appended to it.
        _replace(path, whole + "\n" if whole else "")
    events = [json.loads(line) for line in whole.split("\n") if line]
    return [{**event, "timestamp": _moment(event["timestamp"])} for event in events]


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".new")
    # JSON may hold half a surrogate pair, which plain UTF-8 refuses.
    temporary.write_text(text, "utf-8", "surrogatepass")
    temporary.replace(path)


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=datetime.isoformat)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _dated(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, **{key: _moment(body[key]) for key in ("created", "updated") if key in body}}
