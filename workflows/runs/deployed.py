"""What the text of an installed machine says of its installation, and how it differs from another text.

Pure. A command that finds a run knows the machine's text, so it needs no settings to find the bucket and the
table that the machine writes to.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from workflows.jobs.site import Site

ALIAS = "live"  # of a deployed machine: the version of the last deployment that went well
# The expression of a place in a stage's own prefix (`requests.py`); a checkpoint prefix that the pipeline
# names may be in another bucket, and is written otherwise.
_OWN_PREFIX = re.compile(r'"s3://([a-z0-9.-]+)/" & \$stage_\w+\.place')
# What an installation puts in, whatever the pipeline's file says.
_OF_THE_INSTALLATION = {
    *("RoleArn", "VpcConfig", "KmsKeyId", "VolumeKmsKeyId", "OutputKmsKeyId", "NetworkConfig"),
    *("EnableNetworkIsolation", "EnableInterContainerTrafficEncryption"),
}


def site_of(definition: Mapping[str, Any]) -> Site:
    """Where the machine's jobs run; a field that no state names is empty."""
    found = Counter(match[1] for text in _texts(definition) for match in _OWN_PREFIX.finditer(text))
    roles = Counter(_values(definition, "RoleArn"))
    tables = Counter(_values(definition, "TableName"))
    role = _most(roles)
    return Site(
        bucket=_most(found),
        job_role_arn=role,
        partition=role.split(":")[1] if role.startswith("arn:") else "aws",
        table=_most(tables) or Site.table,
    )


def differing_states(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The states, by name, that only one text has or that differ; roles, networks and keys do not count."""
    ours, theirs = _states(one), _states(other)
    return [name for name in (ours | theirs) if _bare(ours.get(name)) != _bare(theirs.get(name))]


def _states(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Every state, those inside of others, too; a state that holds others is compared without them."""
    found: dict[str, Any] = {}
    for name, state in definition.get("States", {}).items():
        found[name] = {key: value for key, value in state.items() if key not in {"Branches", "ItemProcessor"}}
        for inner in [*state.get("Branches", []), state.get("ItemProcessor", {})]:
            found |= _states(inner)
    return found


def _bare(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _bare(each) for key, each in value.items() if key not in _OF_THE_INSTALLATION}
    return [_bare(each) for each in value] if isinstance(value, list) else value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(each)


def _values(value: Any, key: str) -> Iterator[str]:
    """The texts that stand under a key, wherever it is."""
    if isinstance(value, Mapping):
        if isinstance(value.get(key), str):
            yield value[key]
        for each in value.values():
            yield from _values(each, key)
    elif isinstance(value, list):
        for each in value:
            yield from _values(each, key)


def _most(counted: Counter[str]) -> str:
    return counted.most_common(1)[0][0] if counted else ""
