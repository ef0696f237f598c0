"""The run input's JSON schema as JSONata: the machine's first state checks what everybody else does.

The schema itself stands in the expression as data, and one recursive function reads it; it knows the keywords
that `run_input.py` uses, and refuses to render others. Patterns are JSONata literals, so each is named once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

KEYWORDS = {
    "type", "properties", "additionalProperties", "required", "not", "items", "minItems", "maxItems",
    "uniqueItems", "enum", "pattern", "minimum", "maximum", "description",
}  # fmt: skip

_CHECK = r"""
$kind := function($v) { ($t := $type($v); $t = "number" and $floor($v) = $v ? "integer" : $t) };
$check := function($s, $v, $at) { (
$k := $kind($v);
$not($k in $s.type or ($k = "integer" and "number" in $s.type))
? $at & ": expected " & $join($append([], $s.type), " or ") & ", found " & $k & "; "
: $k = "object"
? $join($append([""], $map($keys($v), function($n) { $exists($lookup($s.properties, $n))
  ? $check($lookup($s.properties, $n), $lookup($v, $n), $at & "." & $n)
  : $at & ": unknown field " & $n & ", allowed: " & $join($append(["none"], $keys($s.properties))[$count($s.properties.*) = 0 or $ != "none"], ", ") & "; " })))
  & $join($append([""], $s.required[$not($ in $keys($v))].($at & ": the field " & $ & " is missing; ")))
  & ($exists($s.not) and $count($s.not.required[$ in $keys($v)]) = $count($s.not.required)
     ? $at & ": " & $join($s.not.required, " and ") & " exclude each other; " : "")
: $k = "array"
? ($exists($s.minItems) and $count($v) < $s.minItems or $exists($s.maxItems) and $count($v) > $s.maxItems
  ? $at & ": has " & $count($v) & " items, allowed: " & $s.minItems & " to " & ($exists($s.maxItems) ? $s.maxItems : "any") & "; " : "")
  & ($s.uniqueItems = true and $count($distinct($v)) < $count($v) ? $at & ": names one item twice; " : "")
  & $join($append([""], $map($v, function($item, $i) { $check($s.items, $item, $at & "[" & $i & "]") })))
: $exists($s.enum) and $not($v in $s.enum) ? $at & ": found " & $v & ", allowed: " & $join($s.enum, ", ") & "; "
: $exists($s.pattern) and $not($fits($s.pattern, $v)) ? $at & ": found " & $v & ", expected " & $s.description & "; "
: $exists($s.minimum) and $v < $s.minimum or $exists($s.maximum) and $v > $s.maximum
? $at & ": found " & $v & ", allowed: at least " & $s.minimum & ($exists($s.maximum) ? ", at most " & $s.maximum : "") & "; "
: "") };
"""  # noqa: E501


def problems_jsonata(schema: Mapping[str, Any], value: str) -> str:
    """An expression for the mistakes in `value` (an expression): one text, "" when there are none."""
    patterns = sorted(set(_patterns(schema)))
    tests = "".join(f"$p = {json.dumps(p)} ? $contains($t, /{p}/) : " for p in patterns)
    fits = f"$fits := function($p, $t) {{ {tests}false }};"
    check = " ".join(_CHECK.split())
    return f'({fits} {check} $check({json.dumps(schema)}, {value}, "run input"))'


def _patterns(schema: Mapping[str, Any]) -> Iterator[str]:
    unknown = set(schema) - KEYWORDS
    if unknown:
        raise ValueError(f"the machine cannot check {', '.join(sorted(unknown))} of a JSON schema")
    if "pattern" in schema:
        yield schema["pattern"]
    inner = [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]
    for each in inner:
        yield from _patterns(each)
