"""What a trial that is an execution of its own hands over to its sweep: the least that all else follows from.

The results of all trials must fit into one variable. So of a trial's ledger goes one line, which stands for
all; the lines themselves stay in the trial's own history. What only the best trial's successors read is asked
of SageMaker once it is known which one that is.
"""

from __future__ import annotations

import json

from workflows.jobs.jsonata_text import fields
from workflows.ledger.entry import columns

LONGEST_FAILURE = 250  # characters of why a trial failed; the whole text stands in its own history

_JOB = "$states.result"  # DescribeTrainingJob of the best trial's job


def handed_over(result: str) -> str:
    """What a finished trial hands over; `result` is the expression of what a stage leaves."""
    kept = {name: f"$r.{name}" for name in ("trial", "parameters", "metrics", "reused", "job")}
    kept |= {"report": "$exists($r.report) ? true", "ledger": _one_line("$r.ledger")}
    return f"($r := {result}; {fields(kept)})"


def handed_over_failed(own: str) -> str:
    """What a trial hands over that failed and may; `own` is the expression of the stage's variable."""
    kept = {
        "trial": f"{own}.trial",
        "parameters": f"{own}.parameters",
        "failed": f"$substring({own}.message, 0, {LONGEST_FAILURE})",
        "ledger": _one_line(f"{own}.ledger"),
    }
    return fields(kept)


def asked_of_its_job(best: str) -> dict[str, str]:
    """What the best trial did not hand over, from the description of its job."""
    # The prefix of the checkpoints ends in `/`.
    report = f'{_JOB}.CheckpointConfig.S3Uri & "complete.json"'
    return {
        "outputs": fields({"model": f"{_JOB}.ModelArtifacts.S3ModelArtifacts"}),
        "arn": f"{_JOB}.TrainingJobArn",
        "report": f"{best}.report = true ? {report}",
    }


def _one_line(ledger: str) -> str:
    """The last line with the sums of all; `attempts` says for how many it stands.

    Attempts may have run on different numbers of instances: the seconds are those that the last one's number
    would have taken, so that seconds times instances is what was paid.
    """
    trained = "trained_seconds"
    billed = f"(billed_seconds = null ? {trained} : billed_seconds)"
    sums = {
        "message": '""',  # that of a failure is said by the trial itself
        "trained_seconds": _seconds(trained),
        "billed_seconds": _seconds(billed),
        # Nothing when the price of one is unknown.
        "usd": "$count($l.usd) = $count($l) ? $round($sum($l.usd), 6)",
        "interruptions": "$sum($l.interruptions)",
        "resumed_step": "$l[0].resumed_step",
        "attempts": "$count($l)",
    }
    # Times and savings of each attempt are in the table of attempts.
    dropped = json.dumps(["usd", *(name for name, column in columns().items() if not column.summed)])
    rest = f"$sift($last, function($v, $k) {{ $not($k in {dropped}) }})"
    return f"($l := {ledger}; $last := $l[-1]; $count($l) = 0 ? [] : [$merge([{rest}, {fields(sums)}])])"


def _seconds(of_a_line: str) -> str:
    return f"$sum($l.({of_a_line} * instance_count)) / $last.instance_count"
