"""What to make of the figures: is spot suitable, what should be set, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workflows.planning import questions as ask
from workflows.planning.plan import LATE_ALLOWED, Summary
from workflows.planning.virtual_runs import Variant
from workflows.specification.pipeline import Pipeline

WORTH = 0.03  # a setting is changed for no less than this share of the cost
SUITABLE = 0.10  # spot is worth its trouble from this share of on-demand's cost on


@dataclass(frozen=True)
class Advice:
    """Whether spot suits (None: it was not asked), what the run's input should say, and why, in sentences."""

    suitable: bool | None
    run_input: Mapping[str, Any]
    reasons: tuple[str, ...]


def best(written: Summary, others: Sequence[Summary]) -> Summary:
    """The one that costs least among those that are in time; as written, unless another is clearly better."""
    better = [other for other in others if _beats(other, written)]
    return min(better, key=lambda each: (not each.in_time, each.usd_mean), default=written)


def advise(
    pipeline: Pipeline,
    base: Mapping[str, Any],
    written: Summary,
    without: Summary | None,
    recommended: Summary,
    changes: Mapping[str, Variant],
) -> Advice:
    """Puts the advice together. `changes`: setting -> the variant that changes it, for what should change."""
    run_input = ask.combined(base, ask.RECOMMENDED, changes.values()).run_input
    reasons = list(_suitability(written, without, recommended))
    if changes:
        reasons += [_change(what, variant) for what, variant in changes.items()]
        reasons.append(_gain(written, recommended))
    if not ask.spot_stages(pipeline):
        return Advice(None, run_input, ("no stage of it runs on spot",))
    suitable = None
    if without:
        suitable = recommended.in_time and recommended.usd_mean <= (1 - SUITABLE) * without.usd_mean
    return Advice(suitable, run_input, tuple(reasons))


def _beats(other: Summary, written: Summary) -> bool:
    if other.in_time != written.in_time:
        return other.in_time
    if not other.in_time:
        return (other.late or 0.0, -other.finished) < (written.late or 0.0, -written.finished)
    return other.usd_mean < (1 - WORTH) * written.usd_mean


def _suitability(written: Summary, without: Summary | None, recommended: Summary) -> Sequence[str]:
    found = []
    if without:
        saved = 1 - recommended.usd_mean / without.usd_mean if without.usd_mean else 0.0
        longer = recommended.hours_p50 - without.hours_mean
        money = f"spot saves {saved:.0%} of" if saved >= 0 else f"spot costs {-saved:.0%} more than"
        found.append(
            f"{money} on-demand's {without.usd_mean:.2f} USD and takes {_hours(abs(longer))} "
            f"{'longer' if longer >= 0 else 'less'} (median)"
        )
    if recommended.late is not None and not recommended.in_time:
        found.append(
            f"{recommended.late:.0%} of the runs are late, and {LATE_ALLOWED:.0%} were to be allowed: "
            "a later deadline, a larger ladder or on-demand would help"
        )
    elif recommended.late is not None:
        found.append(f"{recommended.late:.0%} of the runs are late" if recommended.late else "no run is late")
    if recommended.finished < 1:
        found.append(f"{1 - recommended.finished:.0%} of the runs fail, most often so: {recommended.cause}")
    if written.phase_hours["waiting"] > max(written.phase_hours["spot"], 1e-9):
        found.append("its jobs wait for capacity longer than they train: name more instance types")
    return found


def _change(what: str, variant: Variant) -> str:
    if what == ask.CLOCK:
        return "no count and no patience: with the deadline, the clock decides when to go on demand"
    value = variant.name.partition(" ")[2]
    return variant.name if what == ask.LADDER else f"a {what} of {value}"


def _gain(written: Summary, recommended: Summary) -> str:
    if written.in_time == recommended.in_time and written.usd_mean > 0:
        return f"{1 - recommended.usd_mean / written.usd_mean:.0%} cheaper than as written (mean)"
    late = "" if written.late is None else f"{written.late:.0%} of the runs are late and "
    cause = f", most often so: {written.cause}" if written.cause else ""
    return f"as written, {late}{1 - written.finished:.0%} fail{cause}"


def _hours(hours: float) -> str:
    return f"{hours * 60:.0f} min" if hours < 2 else f"{hours:.1f} h"
