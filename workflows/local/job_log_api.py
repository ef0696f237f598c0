"""CloudWatch Logs of jobs: `/aws/sagemaker/TrainingJobs` and `/aws/sagemaker/ProcessingJobs`, live.

Made from the jobs' log files when somebody asks, so it is there while a job runs and in a world that is
opened again. Groups of other names are moto's; a list of all groups without a prefix has those of jobs only.
Filter patterns are those of words: `a b` (both), `?a ?b` (one of them), `-a` (not), `"a b"` (a phrase).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from workflows.local.sagemaker.job_logs import Stream, streams
from workflows.local.service_errors import ServiceError
from workflows.local.service_model import checked

JSON = dict[str, Any]
GROUPS = {"/aws/sagemaker/TrainingJobs": "training", "/aws/sagemaker/ProcessingJobs": "processing"}
MOST_EVENTS, MOST_STREAMS = 10_000, 50
_WORD = re.compile(r'([?-]?)(?:"([^"]*)"|(\S+))')


class Line(Protocol):
    """What a filter pattern says of a line."""

    def __call__(self, line: str) -> bool: ...


class JobLogs:
    """The API; every thread may call it, since it only reads files."""

    def __init__(self, folder: Path, region: str, account: str) -> None:
        self._folder = folder
        self._arn = f"arn:aws:logs:{region}:{account}:log-group:"
        self._actions: dict[str, Callable[[JSON], JSON]] = {
            "DescribeLogGroups": self._describe_groups,
            "DescribeLogStreams": self._describe_streams,
            "GetLogEvents": self._get,
            "FilterLogEvents": self._filter,
        }

    def answers(self, operation: str, request: Mapping[str, Any]) -> bool:
        """Whether a request is about the groups of jobs."""
        if operation == "DescribeLogGroups":
            prefix = str(request.get("logGroupNamePrefix") or "")
            return any(group.startswith(prefix) for group in GROUPS)
        return operation in self._actions and _group(request) in GROUPS

    def handle(self, operation: str, request: JSON) -> JSON:
        """Answer one API call; raises ServiceError."""
        return self._actions[operation](checked("logs", operation, request))

    def _describe_groups(self, request: JSON) -> JSON:
        prefix, part = request.get("logGroupNamePrefix", ""), request.get("logGroupNamePattern", "")
        wanted = [name for name in GROUPS if name.startswith(prefix) and part.lower() in name.lower()]
        groups = []
        for name in sorted(wanted):
            found = [stream for stream in streams(self._folder) if stream.kind == GROUPS[name]]
            if found:
                made = min(stream.created for stream in found)
                arn = f"{self._arn}{name}"
                group = {"logGroupName": name, "creationTime": made, "arn": f"{arn}:*", "logGroupArn": arn}
                groups.append(
                    {**group, "metricFilterCount": 0, "storedBytes": 0, "logGroupClass": "STANDARD"}
                )
        return {"logGroups": groups}

    def _describe_streams(self, request: JSON) -> JSON:
        group, found = self._in_group(request)
        prefix = request.get("logStreamNamePrefix")
        described = [self._described(group, each) for each in found if each.name.startswith(prefix or "")]
        if request.get("orderBy") == "LastEventTime":
            if prefix is not None:
                raise _invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
            described.sort(key=lambda each: each.get("lastEventTimestamp", 0))
        if request.get("descending"):
            described.reverse()
        at, most = _position(request), int(request.get("limit", MOST_STREAMS))
        answer: JSON = {"logStreams": described[at : at + most]}
        return answer | ({"nextToken": str(at + most)} if at + most < len(described) else {})

    def _described(self, group: str, stream: Stream) -> JSON:
        arn = f"{self._arn}{group}:log-stream:{stream.name}"
        answer = {"logStreamName": stream.name, "creationTime": stream.created, "arn": arn, "storedBytes": 0}
        times = [time for time, _ in stream.events]
        if times:
            answer |= {"firstEventTimestamp": times[0], "lastEventTimestamp": times[-1]}
            answer["lastIngestionTime"] = times[-1]
        return answer

    def _get(self, request: JSON) -> JSON:
        """A page of one stream; a token holds the number of an event, and whether to go on or back."""
        _, found = self._in_group(request)
        [*named] = [each for each in found if each.name == request["logStreamName"]]
        if not named:
            raise _missing("stream")
        all_events = list(enumerate(named[0].events))
        wanted = [(number, event) for number, event in all_events if _within(request, event[0])]
        most = int(request.get("limit", MOST_EVENTS))
        way, _, text = request.get("nextToken", "").partition("/")
        if way and (way not in ("f", "b") or not text.isdigit()):
            raise _invalid("The specified nextToken is invalid.")
        at = int(text or 0)
        if way == "b":
            page = [each for each in wanted if each[0] < at][-most:]
        elif way == "f" or request.get("startFromHead"):
            page = [each for each in wanted if each[0] >= at][:most]
        else:
            page = wanted[-most:]
        first, last = (page[0][0], page[-1][0] + 1) if page else (at, at if way else len(all_events))
        return {
            "events": [_event(event) for _, event in page],
            "nextForwardToken": f"f/{last}",
            "nextBackwardToken": f"b/{first}",
        }

    def _filter(self, request: JSON) -> JSON:
        _, found = self._in_group(request)
        names, prefix = request.get("logStreamNames"), request.get("logStreamNamePrefix", "")
        matches = _matcher(request.get("filterPattern", ""))
        events = []
        for stream in found:
            if stream.name.startswith(prefix) and (names is None or stream.name in names):
                for number, event in enumerate(stream.events):
                    if _within(request, event[0]) and matches(event[1]):
                        known = {"logStreamName": stream.name, "eventId": f"{stream.name}/{number:010}"}
                        events.append({**_event(event), **known})
        events.sort(key=lambda event: event["timestamp"])
        at, most = _position(request), int(request.get("limit", MOST_EVENTS))
        answer: JSON = {"events": events[at : at + most], "searchedLogStreams": []}
        return answer | ({"nextToken": str(at + most)} if at + most < len(events) else {})

    def _in_group(self, request: JSON) -> tuple[str, list[Stream]]:
        group = _group(request)
        found = [stream for stream in streams(self._folder) if stream.kind == GROUPS[group]]
        if not found:
            raise _missing("group")
        return group, found


def _group(request: Mapping[str, Any]) -> str:
    """The group's name, which an identifier may hold as the end of an ARN."""
    named = request.get("logGroupName") or request.get("logGroupIdentifier") or ""
    return str(named).partition(":log-group:")[2].removesuffix(":*") or str(named)


def _event(event: tuple[int, str]) -> JSON:
    return {"timestamp": event[0], "message": event[1], "ingestionTime": event[0]}


def _within(request: JSON, time: int) -> bool:
    """The start belongs to it, the end does not."""
    return bool(request.get("startTime", 0) <= time < request.get("endTime", time + 1))


def _position(request: JSON) -> int:
    token = request.get("nextToken", "0")
    if not token.isdigit():
        raise _invalid("The specified nextToken is invalid.")
    return int(token)


def _matcher(pattern: str) -> Line:
    if pattern.lstrip()[:1] in ("{", "[", "%"):
        raise _invalid(f"relay local: the filter pattern {pattern!r} is not emulated; give words")
    words = [(sign, phrase or word) for sign, phrase, word in _WORD.findall(pattern)]
    some = [word for sign, word in words if sign == "?"]

    def matches(line: str) -> bool:
        wanted = all(word in line for sign, word in words if sign == "")
        unwanted = any(word in line for sign, word in words if sign == "-")
        return wanted and not unwanted and (not some or any(word in line for word in some))

    return matches


def _missing(what: str) -> ServiceError:
    return ServiceError("ResourceNotFoundException", f"The specified log {what} does not exist.")


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidParameterException", message)
