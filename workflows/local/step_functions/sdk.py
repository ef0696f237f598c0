"""How Step Functions' `aws-sdk` integrations name services, and turn JSON into requests and back.

Arguments and results are the SDK for Java's: member names in PascalCase, timestamps ISO-8601 strings, blobs
and bodies strings (AWS.md 8.7). botocore's model of the service says which is which.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from botocore.model import OperationModel, Shape

from workflows.ledger.aws_error_names import SERVICES, sdk_error, service_model
from workflows.local.json_texts import Text, Unwritten, size_of, text_of
from workflows.local.messages import Fixed, Grown, Overlaid, added, as_uuid, form, in_milliseconds
from workflows.local.service_errors import TaskError
from workflows.local.step_functions.limits import RUNTIME, timestamp

SDK = "arn:aws:states:::aws-sdk:"


class Action(NamedTuple):
    """The operation that a Task's `aws-sdk` resource calls."""

    service: str
    """botocore's name."""
    prefix: str
    """The SDK for Java's name, which begins the errors."""
    model: OperationModel


@cache
def action_of(resource: str) -> Action | None:
    """Return what `arn:aws:states:::aws-sdk:<service>:<action>` calls, None if it is not known here."""
    service, _, action = resource.removeprefix(SDK).partition(":")
    known = SERVICES.get(service)
    name = action[:1].upper() + action[1:]
    if known is None or not action[:1].islower() or not resource.startswith(SDK):
        return None
    model = service_model(known[0])
    return Action(*known, model.operation_model(name)) if name in model.operation_names else None


def error_name(action: Action, code: str) -> str:
    """Return the error that a Task sees: `S3.NoSuchKeyException`, `SageMaker.SageMakerException`."""
    return sdk_error(action.prefix, action.service, action.model, code)


def to_request(shape: Shape | None, value: Any) -> Any:
    """Turn a Task's Arguments into a request with the service's own names and types.

    Raises TaskError for a member that the API does not have.
    """
    return value if shape is None or value is None else _reader(shape)(value, "")


Reader = Callable[[Any, str], Any]
_READERS: dict[int, tuple[Shape, Reader]] = {}
"""By the shape's id, and with the shape, so that its id stays its own."""


def _reader(shape: Shape) -> Reader:
    """What turns Arguments of a shape into the service's, made once for each shape; its second argument
    is where they stand, `Environment.`."""
    known = _READERS.get(id(shape))
    if known is None:
        known = _READERS[id(shape)] = (shape, _make_reader(shape, {}))
    return known[1]


def _make_reader(shape: Any, known: dict[str, Reader]) -> Reader:
    if shape.name in known:
        return known[shape.name]
    # A shape may contain itself: what is inside finds this first, and asks again when it is called.
    known[shape.name] = lambda value, where: known[shape.name](value, where)
    kind = shape.type_name
    if kind == "structure":
        made = _read_members(
            {_pascal(n): (n, _make_reader(each, known)) for n, each in shape.members.items()}
        )
    elif kind == "list":
        made = _read_items(_make_reader(shape.member, known))
    elif kind == "map":
        made = _read_values(_make_reader(shape.value, known))
    else:
        made = _READ.get(kind, _itself)
    known[shape.name] = made
    return made


def _read_members(members: dict[str, tuple[str, Reader]]) -> Reader:
    def read(value: Any, where: str) -> Any:
        if not isinstance(value, dict):
            return value
        request = {}
        for key, item in value.items():
            found = members.get(key)
            if found is None:
                message = f'The field "{where}{key}" is not supported by Step Functions'
                raise TaskError(RUNTIME, message)
            name, inner = found
            request[name] = item if item is None or inner is _itself else inner(item, f"{where}{key}.")
        return request

    return read


def _read_items(member: Reader) -> Reader:
    def read(value: Any, where: str) -> Any:
        if not isinstance(value, list):
            return value
        return [item if item is None else member(item, where) for item in value]

    return read


def _read_values(member: Reader) -> Reader:
    def read(value: Any, where: str) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: item if item is None else member(item, where) for key, item in value.items()}

    return read


def _itself(value: Any, where: str) -> Any:
    return value


_WRITTEN = (dict, list)


def _read_text(value: Any, where: str) -> Any:
    """Step Functions writes JSON given for a string member as its text (SNS Message, Input)."""
    return value if value.__class__ is str or not isinstance(value, _WRITTEN) else text_of(value)


def _read_blob(value: Any, where: str) -> Any:
    """Also a string is written as JSON, with its quotes: give an object to write an object.

    Source: AWS.md 8.7.
    """
    return text_of(value).encode()


def _read_moment(value: Any, where: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        field = where.removesuffix(".")
        message = f"The value for the field '{field}' must be a valid timestamp, not '{value}'"
        raise TaskError(RUNTIME, message) from None


_READ: dict[str, Reader] = {"string": _read_text, "blob": _read_blob, "timestamp": _read_moment}


def to_result(shape: Shape | None, value: Any) -> Any:
    """Turn an API's answer into what the Task sees."""
    return to_written_result(shape, value)[0]


def to_written_result(shape: Shape | None, value: Any) -> tuple[Any, Text]:
    """The same with its JSON text, both made once for an answer that never changes."""
    if shape is None or value is None:
        result = {} if value is None else value
        return result, text_of(result)
    return form(value, _writer(shape))  # type: ignore[no-any-return]


Shower = Callable[[Any], Any]
_ATOMS = frozenset({str, bool, int, float})  # shown as they are, whatever their shape
_WRITERS: dict[int, tuple[Shape, Shower]] = {}
"""By the shape's id, and with the shape, so that its id stays its own."""


def _writer(shape: Shape) -> Shower:
    """What turns values of a shape into a Task's and their text, made once for each shape."""
    known = _WRITERS.get(id(shape))
    if known is None:
        known = _WRITERS[id(shape)] = (shape, _written(_make_shower(shape, {})))
    return known[1]


def _written(shower: Shower) -> Shower:
    def size(ground: Fixed) -> int:
        return size_of(text_of(ground.form(shower)))

    def write(value: Any) -> tuple[Any, Text]:
        shown = shower(value)
        if value.__class__ is Overlaid:  # what was sent to AWS, or told by it, has no nulls in it
            return shown, Unwritten(shown, value.ground.form(size) + added(value.over))
        return shown, text_of(shown)

    return write


def _make_shower(shape: Any, known: dict[str, Shower]) -> Shower:
    if shape.name in known:
        return known[shape.name]
    # A shape may contain itself: what is inside finds this first, and asks again when it is called.
    known[shape.name] = lambda value: known[shape.name](value)
    kind = shape.type_name
    if kind == "structure":
        made = _of_members([(n, _pascal(n), _make_shower(each, known)) for n, each in shape.members.items()])
    elif kind == "list":
        made = _of_items(_make_shower(shape.member, known))
    elif kind == "map":
        inner = _make_shower(shape.value, known)
        made = lambda value: {key: _made(inner, each) for key, each in value.items()}  # noqa: E731
    else:
        made = _text_of_blob if kind == "blob" else _moment_or_itself
    known[shape.name] = made
    return made


def _of_items(member: Shower) -> Shower:
    def show_one(value: Any) -> Any:
        return value.form(member) if value.__class__ is Fixed else _made(member, value)

    def show(value: Any) -> Any:
        if value.__class__ is Grown:
            return value.form(member)
        return [each if each.__class__ is str else show_one(each) for each in value]

    return show


def _made(shower: Shower, value: Any) -> Any:
    return value if value is None else form(value, shower)


def _of_members(members: list[tuple[str, str, Shower]]) -> Shower:
    """The members in the order of their shape."""
    showers = {name: (pascal, member) for name, pascal, member in members}

    def show_part(part: dict[str, Any]) -> dict[str, Any]:
        shown = {}
        for name, each in part.items():
            if each is not None and name in showers:
                pascal, member = showers[name]
                shown[pascal] = each if each.__class__ in _ATOMS else form(each, member)
        return shown

    def show(value: Any) -> Any:
        if value.__class__ is Overlaid:
            return value.over_ground(show, show_part)
        if not isinstance(value, dict):
            return _moment_or_itself(value)
        shown = {}
        for name, pascal, member in members:
            each = value.get(name)
            if each is not None:
                kind = each.__class__
                known = kind in _ATOMS
                shown[pascal] = each if known else timestamp(each) if kind is datetime else form(each, member)
        return shown

    return show


def _text_of_blob(value: Any) -> Any:
    data = value.read() if hasattr(value, "read") else value
    return data.decode("utf-8", "replace") if isinstance(data, bytes) else data


def _moment_or_itself(value: Any) -> Any:
    return timestamp(value) if isinstance(value, datetime) else value


def job_result(description: dict[str, Any]) -> dict[str, Any]:
    """Turn a job's description into a `.sync` result: times in epoch milliseconds, tags a map."""
    shown = {key: item for key, item in in_milliseconds(description).items() if item is not None}
    if isinstance(shown.get("Tags"), list):
        shown["Tags"] = {tag["Key"]: tag["Value"] for tag in shown["Tags"]}
    return shown


def _pascal(name: str) -> str:
    return name[:1].upper() + name[1:]


def request_id(number: int) -> str:
    """Return the id of a request: a fixed pattern, so that runs repeat."""
    return as_uuid(number)
