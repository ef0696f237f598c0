"""API Gateway's mapping templates, rendered by airspeed, a Velocity engine.

What airspeed lacks of Java and of API Gateway's own variables stands here, as AWS documents it ("Mapping
template reference" in API Gateway's developer guide):

- strings and maps have Java's methods; `matches` means the whole text
- a backslash in a Velocity string is a backslash; for airspeed, as for Python, it escapes
- `$input.json(path)` is JSON text, `$input.path(path)` the value, of an empty body those of `{}`
- `$util.escapeJavaScript` is Apache Commons Lang's: also `'` becomes `\\'`, `/` becomes `\\/`, and what is
  not ASCII an escape for each UTF-16 unit
- `#set($context.responseOverride.status = N)` changes the answer's status
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import airspeed

_SHORT = {"\b": "\\b", "\n": "\\n", "\t": "\\t", "\f": "\\f", "\r": "\\r"}
_SHORT |= {"'": "\\'", '"': '\\"', "\\": "\\\\", "/": "\\/"}
_JAVA = airspeed.__additional_methods__
_JAVA[str] |= {
    "matches": lambda self, pattern: re.fullmatch(pattern, self) is not None,
    "toLowerCase": lambda self: self.lower(),
}
_JAVA[dict] |= {"containsKey": lambda self, key: key in self}


def render(template: str, body: str, *, params: Mapping[str, dict[str, str]], context: dict[str, Any]) -> str:
    """The text that comes out; `params`: path, querystring and header; `context` may be written to."""
    assert "\\\\" not in template.replace('"\\\\\'"', ""), "a backslash that airspeed would take otherwise"
    text = template.replace("\\", "\\\\")
    known = {"input": _Input(body, params), "util": _Util(), "context": context}
    return str(airspeed.Template(text).merge(known))


class _Input:
    def __init__(self, body: str, params: Mapping[str, dict[str, str]]) -> None:
        self._content = json.loads(body or "{}")
        self._params = dict(params)

    def json(self, path: str) -> str:
        return json.dumps(self.path(path), ensure_ascii=False, separators=(",", ":"))

    def path(self, path: str) -> Any:
        found = self._content
        for name in path.removeprefix("$").split(".")[1:]:
            found = found.get(name) if isinstance(found, dict) else None
        return found

    def params(self) -> dict[str, dict[str, str]]:
        return self._params


class _Util:
    def escapeJavaScript(self, text: Any) -> str:  # noqa: N802
        return "".join(_SHORT.get(unit) or _escaped(unit) for unit in _units(str(text)))


def _units(text: str) -> Iterator[str]:
    """The UTF-16 units, as Java counts characters."""
    data = text.encode("utf-16-be", "surrogatepass")
    yield from (chr(int.from_bytes(data[at : at + 2], "big")) for at in range(0, len(data), 2))


def _escaped(unit: str) -> str:
    return unit if " " <= unit <= "\x7f" else f"\\u{ord(unit):04X}"
