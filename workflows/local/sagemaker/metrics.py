"""Reads the metrics that a job's request defines from the lines that its containers write.

SageMaker searches every line that the containers write, takes the number in the expression's first group,
and shows the last one of each metric as FinalMetricDataList (AWS.md 5.5). A metric that no line names is
absent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

JSON = dict[str, Any]


class Metric(NamedTuple):
    """One entry of FinalMetricDataList."""

    name: str
    value: float
    time: datetime

    def show(self) -> JSON:
        """Returns the metric as DescribeTrainingJob shows it."""
        return {"MetricName": self.name, "Value": self.value, "Timestamp": self.time}


def defined(request: Mapping[str, Any]) -> dict[str, str]:
    """Name -> regular expression of each metric that a training job defines."""
    found = request.get("AlgorithmSpecification", {}).get("MetricDefinitions", [])
    return {each["Name"]: each["Regex"] for each in found}


def unreadable(request: Mapping[str, Any]) -> Iterator[str]:
    """Yields why a metric cannot be read here: AWS's expressions are Java's, which know a little more."""
    for name, text in defined(request).items():
        try:
            groups = re.compile(text).groups
        except re.error as error:
            yield f"metric {name!r}: Regex {text!r} cannot be read: {error}"
        else:
            if not groups:
                yield f"metric {name!r}: Regex {text!r} has no group (...) for the number"


def read_metrics(request: Mapping[str, Any], logs: Iterable[tuple[Path, datetime]]) -> list[Metric]:
    """Returns the last value of each metric; `logs` are in the order of their last writing, with its time."""
    wanted = {name: re.compile(text) for name, text in defined(request).items()}
    found: dict[str, Metric] = {}
    for path, time in logs:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                for name, pattern in wanted.items():
                    for value in _numbers(pattern, line):
                        found[name] = Metric(name, value, time)
    return [found[name] for name in wanted if name in found]


def _numbers(pattern: re.Pattern[str], line: str) -> Iterator[float]:
    for match in pattern.finditer(line):
        try:
            value = float(match[1])
        except (TypeError, ValueError):  # a group that took no part, or no number
            continue
        if math.isfinite(value):
            yield value
