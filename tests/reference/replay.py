"""All that was recorded, asked of the reference: each difference is shown, and one fails the run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.reference.engine import Reference

CODE = re.compile(r"^([A-Z]\d{4})\b")
SHOWN = 400  # characters of a value in the report


@dataclass
class Verdict:
    """What the reference said of a run."""

    evaluations: int = 0
    expressions: set[str] = field(default_factory=set)
    differences: list[str] = field(default_factory=list)
    deepest: int = 0
    deepest_text: str = ""

    def report(self) -> str:
        """One line for a run without a difference."""
        return (
            f"{self.evaluations:,} evaluations of {len(self.expressions):,} expressions replayed in the "
            f"reference JSONata, {len(self.differences)} different; the deepest counts {self.deepest}: "
            f"{self.deepest_text[:80]}"
        )


def recordings(folder: Path) -> Iterator[bytes]:
    """Each distinct evaluation of all workers, once."""
    seen = set()
    for file in sorted(folder.glob("*.jsonl")):
        with file.open("rb") as lines:
            for line in lines:
                if line not in seen:
                    seen.add(line)
                    yield line


def replay(folder: Path) -> Verdict:
    """Asks the reference; raises MissingReferenceError where there is none."""
    verdict = Verdict()
    lines = list(recordings(folder))
    with Reference() as reference:
        for line, answer in zip(lines, reference.ask_all(lines), strict=True):
            recorded = json.loads(line)
            verdict.evaluations += 1
            verdict.expressions.add(recorded["text"])
            if answer["depth"] > verdict.deepest:
                verdict.deepest, verdict.deepest_text = answer["depth"], recorded["text"]
            if not agree(recorded["outcome"], answer):
                verdict.differences.append(_shown(recorded, answer))
    return verdict


def agree(ours: dict[str, Any], answer: dict[str, Any]) -> bool:
    """Whether the reference answers as we did: the same JSON, nothing, a function, or the same error."""
    if "error" in ours and "error" in answer:
        code = CODE.match(ours["error"])
        return code is None or answer["error"] == code[1]
    kind = next(name for name in ("value", "undefined", "function", "error") if name in ours)
    return kind in answer and same(ours.get("value"), answer.get("value"))


def same(ours: Any, theirs: Any) -> bool:
    """Equal as JSON: true is not 1, the order of members does not count."""
    if isinstance(ours, bool) or isinstance(theirs, bool) or ours is None or theirs is None:
        return ours is theirs
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return bool(ours == theirs)


def _shown(recorded: dict[str, Any], answer: dict[str, Any]) -> str:
    values = {
        "expression": recorded["text"],
        "bindings": recorded["bindings"],
        "ours": recorded["outcome"],
        "reference": answer,
    }
    return "\n".join(f"  {name}: {_short(value)}" for name, value in values.items())


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} ... ({len(text):,} characters)"
