"""One dashboard for each pipeline: its runs, what capacity did to them, what they cost and saved."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from workflows.ledger.attempts import DIMENSION, NAMESPACE
from workflows.ledger.entry import Metric

WIDTH = 24  # columns of a dashboard
RUNS = {
    "ExecutionsStarted": "started",
    "ExecutionsSucceeded": "done",
    "ExecutionsFailed": "failed",
    "ExecutionsTimedOut": "out of time",
    "ExecutionsAborted": "stopped",
}


class Dashboard(Construct):
    """Shows a pipeline's figures by the hour; a metric that nobody has sent yet is an empty graph."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        pipeline: str,
        machine_arn: str,
        alarms: Sequence[cloudwatch.Alarm],
    ) -> None:
        super().__init__(scope, id_)
        self.pipeline, self.machine = pipeline, {"StateMachineArn": machine_arn}
        board = cloudwatch.Dashboard(self, "Dashboard", dashboard_name=f"relay-{pipeline}")
        board.add_widgets(
            cloudwatch.AlarmStatusWidget(title="Alarms", alarms=list(alarms), width=WIDTH, height=3)
        )
        board.add_widgets(
            cloudwatch.SingleValueWidget(
                title="Of the whole time shown, in US dollars and counts",
                metrics=[
                    self._own(Metric.COST, "spent"),
                    self._own(Metric.SAVED, "saved against on-demand"),
                    self._own(Metric.INTERRUPTIONS, "interruptions"),
                    self._own(Metric.ON_DEMAND, "attempts on demand"),
                ],
                set_period_to_time_range=True,
                width=WIDTH,
                height=4,
            )
        )
        board.add_widgets(
            self._graph("Runs", [self._of_machine(metric, words) for metric, words in RUNS.items()]),
            self._graph(
                "Capacity",
                [
                    self._own(Metric.INTERRUPTIONS, "interruptions"),
                    self._own(Metric.ON_DEMAND, "attempts on demand (fallbacks)"),
                    self._own(Metric.NO_PROGRESS, "attempts without progress"),
                    self._own(Metric.DEADLINE_PRESSED, "on demand for the deadline"),
                ],
            ),
        )
        board.add_widgets(
            self._graph(
                "Seconds until an attempt had its instances",
                [
                    self._own(Metric.QUEUED, "half of them", "p50"),
                    self._own(Metric.QUEUED, "the longest", "Maximum"),
                ],
            ),
            self._graph(
                "US dollars",
                [self._own(Metric.COST, "spent"), self._own(Metric.SAVED, "saved against on-demand")],
            ),
        )

    def _graph(self, title: str, metrics: list[cloudwatch.IMetric]) -> cloudwatch.GraphWidget:
        return cloudwatch.GraphWidget(title=title, left=metrics, width=WIDTH // 2, height=6)

    def _own(self, metric: str, label: str, statistic: str = "Sum") -> cloudwatch.Metric:
        return _metric(NAMESPACE, metric, {DIMENSION: self.pipeline}, label, statistic)

    def _of_machine(self, metric: str, label: str) -> cloudwatch.Metric:
        return _metric("AWS/States", metric, self.machine, label, "Sum")


def _metric(
    namespace: str, metric: str, dimensions: dict[str, str], label: str, statistic: str
) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=namespace,
        metric_name=metric,
        dimensions_map=dimensions,
        label=label,
        statistic=statistic,
        period=cdk.Duration.hours(1),
    )
