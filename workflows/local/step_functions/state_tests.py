"""TestState: one state by itself, with its input, variables and context, and with a result that is given.

A state is walked as in an execution, by the same functions, and left once. Without a mock a Task calls what
it names, as on AWS; what waits (`.sync`, Parallel, Map) takes a mock only.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

from workflows.local.json_texts import text_of
from workflows.local.service_errors import ServiceError, TaskError
from workflows.local.step_functions.arns import check_role
from workflows.local.step_functions.branch import Behaviour, Branch, MapRunOfBranch
from workflows.local.step_functions.definition import targets_of
from workflows.local.step_functions.history import History
from workflows.local.step_functions.integrations import Answer
from workflows.local.step_functions.interpreter import Interpreter
from workflows.local.step_functions.jsonata.json_values import prepare
from workflows.local.step_functions.machines import Machines
from workflows.local.step_functions.mock_results import problems_of_result
from workflows.local.step_functions.program import Program, State, load_program
from workflows.local.step_functions.retry import matches
from workflows.local.step_functions.states import QUICK, arguments_of, wait

ALONE = "state under test"
MOCKED = ("Task", "Map", "Parallel")
Request = Mapping[str, Any]


class StateTests:
    """The operation TestState of one world."""

    def __init__(self, interpreter: Interpreter, machines: Machines) -> None:
        self.interpreter, self.machines = interpreter, machines
        self._loaded: tuple[str, Program] | None = None

    def test(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer a TestState request; raises ServiceError for one that AWS would refuse."""
        program, state = self._state(request)
        mock = request.get("mock") or {}
        _check(request, state, mock)
        value = _json(request, "input", {})
        variables = _json(request, "variables", {})
        if not isinstance(variables, dict):
            raise _refused("variables must be a JSON object")
        context = _json(request, "context", None)
        branch = _Tested(_Owner(self.interpreter, context or {}), program, state.name, value, variables)
        answer, inspected = _Test(request, state, mock, branch).run()
        if request.get("inspectionLevel", "INFO") != "INFO":
            answer["inspectionData"] = {
                "input": request.get("input", "{}"),
                **inspected,
                "variables": text_of({**variables, **branch.variables}),
            }
        return answer

    def _state(self, request: Request) -> tuple[Program, State]:
        text, name = request["definition"], request.get("stateName")
        if name is None:
            text, name = _machine_of_one(text), ALONE
        if self._loaded is None or self._loaded[0] != text:
            problems = self.machines.problems(text)
            if problems:
                said = ", ".join(str(problem) for problem in problems)
                raise ServiceError("InvalidDefinition", f"Invalid State Machine Definition: '{said}'")
            self._loaded = text, load_program(text, self.interpreter.expressions)
        found = _find(self._loaded[1], name)
        if found is None:
            raise _refused(f"stateName '{name}' is no state of the definition")
        return found


class _Test:
    """One test on its way through a state."""

    def __init__(self, request: Request, state: State, mock: Mapping[str, Any], branch: _Tested) -> None:
        self.request, self.state, self.mock, self.branch = request, state, mock, branch
        self.inspected: dict[str, Any] = {}

    def run(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """(what is answered, what is shown of the way there)."""
        try:
            self._walk()
        except TaskError as error:
            self.branch.note(self.state, error)
            return self._failed(error), self.inspected
        return {**self._left(), "status": "SUCCEEDED"}, self.inspected

    def _walk(self) -> None:
        branch, state = self.branch, self.state
        branch.begin()
        if state.type not in MOCKED:
            waiting = (wait if state.type == "Wait" else QUICK[state.type])(branch, state)
            if waiting is not None:
                for _ in waiting:  # the time is not let pass
                    pass
            return
        arguments = arguments_of(branch, state)
        self.inspected["afterArguments"] = str(branch.arguments_text)
        if "errorOutput" in self.mock:
            told = self.mock["errorOutput"]
            raise TaskError(told.get("error", ""), told.get("cause"))
        result = self._result(arguments)
        text = text_of(result)
        self.inspected["result"] = str(text)
        branch.take(result, text)
        branch.show_result(result)
        branch.leave(state, state.after, result, state.next)

    def _result(self, arguments: Any) -> Any:
        if "result" in self.mock:
            return json.loads(self.mock["result"])
        call = _Call(self.state.literals["Resource"], arguments, self.branch.execution.arn, self.state.name)
        answer = self.branch.interpreter.integrations.run(call)
        assert isinstance(answer, Answer), "what waits is refused without a mock"
        return answer.result

    def _failed(self, error: TaskError) -> dict[str, Any]:
        told = {"error": error.error, **({"cause": error.cause} if error.cause is not None else {})}
        used = (self.request.get("stateConfiguration") or {}).get("retrierRetryCount", 0)
        for place, retrier in enumerate(self.state.retry):
            if matches(retrier.errors, error.error):
                delay = retrier.delay(used, random.Random(0))
                if delay is None:
                    break
                details = {"retryIndex": place, "retryBackoffIntervalSeconds": round(delay)}
                self.inspected["errorDetails"] = details
                return {**told, "status": "RETRIABLE"}
        for place, catcher in enumerate(self.state.catch):
            if matches(catcher.errors, error.error):
                self.inspected["errorDetails"] = {"catchIndex": place}
                output = {
                    "Error": error.error,
                    **({"Cause": error.cause} if error.cause is not None else {}),
                }
                self.branch.show_error(output)
                try:
                    self.branch.leave(self.state, catcher.after, output, catcher.next)
                except TaskError as second:
                    self.branch.note(self.state, second)
                    return {"error": second.error, "cause": second.cause or "", "status": "FAILED"}
                return {**told, **self._left(), "status": "CAUGHT_ERROR"}
        return {**told, "status": "FAILED"}

    def _left(self) -> dict[str, Any]:
        branch = self.branch
        if branch.done:
            return {"output": str(text_of(branch.output))}
        return {"output": str(text_of(branch.input)), "nextState": branch.at}


class _Tested(Branch):
    """A branch that stands in one state, with the variables that it is given."""

    def __init__(
        self, owner: _Owner, program: Program, name: str, value: Any, variables: Mapping[str, Any]
    ) -> None:
        seen = {key: prepare(each) for key, each in variables.items()}
        super().__init__(owner, program, value, history=History(owner.interpreter.clock), outer=seen)
        self.at = name

    def begin(self) -> None:
        """Enter the state."""
        self._enter(self.program.states[self.at])

    def _context(self) -> dict[str, Any]:
        given = self.execution.context()
        return {**super()._context(), **given} if given else super()._context()


class _Owner:
    """What stands in the place of an execution."""

    arn = "arn:aws:states:us-east-1:000000000000:express:testState:test:test"
    map_runs: Sequence[MapRunOfBranch] = ()
    behaviour: Mapping[str, Behaviour] = QUICK

    def __init__(self, interpreter: Interpreter, given: Mapping[str, Any]) -> None:
        self.interpreter, self.given = interpreter, given

    def save(self) -> None:
        """Nothing is kept."""

    def context(self) -> dict[str, Any]:
        """The context object of the request."""
        return {key: prepare(each) for key, each in self.given.items()}

    def open_map_run(self, label: str, body: Program, inputs: list[Any], **limits: Any) -> MapRunOfBranch:
        """A Map takes a mock only."""
        raise NotImplementedError(label)


class _Call:
    """The call of a Task that has no mock."""

    def __init__(self, resource: str, arguments: Any, execution_arn: str, state_name: str) -> None:
        self.resource, self.arguments = resource, arguments
        self.execution_arn, self.state_name = execution_arn, state_name

    def submitted(self, output: Any) -> None:
        """No job is waited for here."""

    def heartbeat(self) -> None:
        """Nobody listens."""


def _check(request: Request, state: State, mock: Mapping[str, Any]) -> None:
    if mock:
        if state.type not in MOCKED:
            raise _refused("A mock can only be specified for Task, Map, or Parallel states")
        if ("result" in mock) == ("errorOutput" in mock):
            raise _refused("A mock must have exactly one of: result, errorOutput")
        mode = mock.get("fieldValidationMode", "STRICT")
        if "result" in mock and mode != "NONE":
            result = _json(mock, "result", None)
            problems = problems_of_result(state.literals.get("Resource", ""), state.type, result, mode)
            if problems:
                raise _refused("The mocked result does not fit the API: " + "; ".join(problems))
        return
    if request.get("context") is not None:
        raise _refused("context may only be specified if a mock is specified")
    if state.type in ("Map", "Parallel") or ".sync" in str(state.literals.get("Resource", "")):
        raise _refused(f"The state '{state.name}' can only be tested with a mock")
    if state.type == "Task":
        if "roleArn" not in request:
            raise _refused("roleArn is required to test a Task without a mock")
        check_role(request["roleArn"])


def _json(request: Mapping[str, Any], key: str, absent: Any) -> Any:
    if key not in request:
        return absent
    try:
        return json.loads(request[key])
    except ValueError as error:
        raise _refused(f"{key} is not valid JSON: {error}", "InvalidExecutionInput") from None


def _machine_of_one(text: str) -> str:
    """A state's own text within a machine that has whatever it leads to."""
    try:
        state = json.loads(text)
    except ValueError as error:
        raise ServiceError("InvalidDefinition", f"Invalid JSON: {error}") from None
    if not isinstance(state, dict):
        raise ServiceError("InvalidDefinition", "Definition must be a JSON object")
    language = state.get("QueryLanguage", "JSONPath")
    others = {name: {"Type": "Succeed"} for name, _ in targets_of(state)}
    body = {"QueryLanguage": language, "StartAt": ALONE, "States": {**others, ALONE: state}}
    if not others and not state.get("End") and state.get("Type") not in ("Succeed", "Fail"):
        body["States"]["end"] = {"Type": "Succeed"}
    return json.dumps(body)


def _find(program: Program, name: str) -> tuple[Program, State] | None:
    if name in program.states:
        return program, program.states[name]
    for state in program.states.values():
        for inner in state.branches:
            if found := _find(inner, name):
                return found
    return None


def _refused(message: str, code: str = "ValidationException") -> ServiceError:
    return ServiceError(code, message)
