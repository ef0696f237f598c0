"""The run input's JSON schema in JSONata: the machine's first states check what everybody else does.

The schema is data (`$written.schema`), and the check goes through the input level by level, as
`run_input.mistakes` does in Python, with the same words: no recursion, because Step Functions counts how deep
an evaluation is. Patterns are JSONata literals, so each is named once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

KEYWORDS = {
    "type", "properties", "additionalProperties", "required", "not", "items", "minItems", "maxItems",
    "uniqueItems", "enum", "pattern", "minimum", "maximum", "description",
}  # fmt: skip

# A filter over nothing asks its predicate once, with nothing: whatever may be absent goes through $filter.
_CHECK = r"""
$kind := function($v) { ($t := $type($v); $t = "number" and $floor($v) = $v ? "integer" : $t) };
$of_object := function($s, $v) { (
  $names := $keys($v); $known := $keys($s.properties);
  $allowed := $count($known) = 0 ? "none" : $join($known, ", ");
  $strange := $map($filter($names, function($n) { $not($n in $known) }),
    function($n) { "unknown field `" & $n & "`; allowed: " & $allowed });
  $absent := $map($filter($s.required, function($n) { $not($n in $names) }),
    function($n) { "the field `" & $n & "` is missing" });
  $apart := $filter($s.not.required, function($n) { $n in $names });
  $both := $count($apart) > 0 and $count($apart) = $count($s.not.required)
    ? "`" & $join($apart, "` and `") & "` exclude each other";
  $append($append($strange, $absent), $both)) };
$of_array := function($s, $v) { (
  $n := $count($v);
  $long := $exists($s.minItems) and $n < $s.minItems or $exists($s.maxItems) and $n > $s.maxItems
    ? "found " & $n & " items, expected " & $s.minItems & " to "
      & ($exists($s.maxItems) ? $s.maxItems : "any");
  $twice := $s.uniqueItems = true and $count($distinct($v)) < $n ? "names one item twice";
  $append($long, $twice)) };
$of_scalar := function($s, $v, $at) {
  $exists($s.enum) and $not($v in $s.enum)
  ? "unknown " & ($contains($at, /[.]type$/) ? "instance type" : "stage") & " `" & $v & "`; allowed: "
    & $join($s.enum, ", ")
  : $exists($s.pattern) and $not($fits($s.pattern, $v)) ? "found " & $v & ", expected " & $s.description
  : $exists($s.minimum) and $v < $s.minimum or $exists($s.maximum) and $v > $s.maximum
  ? "found " & $v & ", expected at least " & $s.minimum
    & ($exists($s.maximum) ? " and at most " & $s.maximum : "") };
$said := function($p) { (
  $s := $p.s; $v := $p.v; $k := $kind($v);
  $found := $not($k in $s.type or ($k = "integer" and "number" in $s.type))
  ? "found " & $v & ", expected " & $join($append([], $s.type), " or ")
  : $k = "object" ? $of_object($s, $v) : $k = "array" ? $of_array($s, $v) : $of_scalar($s, $v, $p.at);
  $map($found, function($what) { $p.at & ": " & $what })) };
$inside := function($p) { (
  $s := $p.s; $v := $p.v;
  $type($v) = "object"
  ? (
    $known := $keys($s.properties);
    $map($filter($keys($v), function($n) { $n in $known }), function($n) { (
      $at := $p.at & "." & $n; $of := $lookup($s.properties, $n); $is := $lookup($v, $n);
      {"at": $at, "s": $of, "v": $is}) }))
  : $type($v) = "array" and $exists($s.items)
  ? $map($v, function($is, $i) { (
      $at := $p.at & "[" & $i & "]"; $of := $s.items;
      {"at": $at, "s": $of, "v": $is}) })
  ) };
$level := function($known, $number) { (
  $places := $append([], $known.places.$inside($));
  $all := $append($known.all, $known.places.$said($));
  {"places": $places, "all": $all}) };
"""


def problems_jsonata(schema: Mapping[str, Any], data: str, value: str) -> str:
    """An expression for the mistakes in `value`, "" when there are none; `data`: where the schema stands.

    Both are expressions.
    """
    patterns = sorted(set(_patterns(schema)))
    tests = "".join(f"$p = {json.dumps(p)} ? $contains($t, /{p}/) : " for p in patterns)
    fits = f"$fits := function($p, $t) {{ {tests}false }};"
    check = " ".join(_CHECK.split())
    first = f'$first := {{"places": [{{"at": "run input", "s": {data}, "v": {value}}}], "all": []}};'
    walk = f"$reduce([1..{levels(schema)}], $level, $first).all"
    return f'({fits} {check} {first} $join($append([], {walk}), "; "))'


def levels(schema: Mapping[str, Any]) -> int:
    """How deep an input of this schema is."""
    return 1 + max(map(levels, _within(schema)), default=0)


def _within(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from schema.get("properties", {}).values()
    if "items" in schema:
        yield schema["items"]


def _patterns(schema: Mapping[str, Any]) -> Iterator[str]:
    unknown = set(schema) - KEYWORDS
    if unknown:
        raise ValueError(f"the machine cannot check {', '.join(sorted(unknown))} of a JSON schema")
    if "pattern" in schema:
        yield schema["pattern"]
    for each in _within(schema):
        yield from _patterns(each)
