"""Brings the events of our services to the targets of the rules that moto's EventBridge keeps.

moto knows rules and targets, but nothing of our SageMaker and Step Functions. Delivery has a thread
of its own, so that the clock's thread, on which events arise, never waits for it.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from workflows.local.clock import ClockError, RealClock
from workflows.local.front_door.door import Handler
from workflows.local.front_door.event_patterns import matches, target_input
from workflows.local.service_errors import ServiceError

log = logging.getLogger(__name__)

Event = dict[str, Any]


class Delivery:
    """Takes events on the clock's thread; gives them to state machines, topics and queues."""

    def __init__(self, clock: RealClock, step_functions: Handler, client: Callable[[str], Any]) -> None:
        self._clock = clock
        self._step_functions = step_functions
        self._client = client
        self._closing = False
        self._events: queue.Queue[Event | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name="relay-events", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def close(self) -> None:
        """Deliver nothing more, not even what waits."""
        self._closing = True
        self._events.put(None)
        self._thread.join()

    def __call__(self, event: Event) -> None:
        """Take one event; returns at once."""
        self._events.put(event)

    def _run(self) -> None:
        while (event := self._events.get()) is not None and not self._closing:
            try:
                for rule, target in self._targets(event):
                    self._deliver(rule, target, event)
            except (ClientError, BotoCoreError, ClockError) as error:
                log.warning("event %s was not delivered: %s", event["id"], error)
            except Exception:
                log.exception("event %s was not delivered", event["id"])

    def _targets(self, event: Event) -> Iterator[tuple[str, Event]]:
        events = self._client("events")
        for page in events.get_paginator("list_rules").paginate():
            for rule in page["Rules"]:
                pattern = rule.get("EventPattern")
                if rule.get("State") == "DISABLED" or not pattern:
                    continue
                if matches(json.loads(pattern), event):
                    found = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
                    for target in found:
                        yield rule["Name"], target

    def _deliver(self, rule: str, target: Event, event: Event) -> None:
        arn, text = target["Arn"], target_input(target, event)
        service = arn.split(":")[2]
        if service == "states":
            request = {
                "stateMachineArn": arn,
                # EventBridge's own form: the event's id, and one for the delivery.
                "name": f"{event['id']}_{uuid.uuid4()}",
                "input": text,
            }
            try:
                self._clock.call(self._step_functions.handle, "StartExecution", request)
            except ServiceError as error:
                log.warning("rule %s: %s was not started: %s", rule, arn, error)
        elif service == "sns":
            self._client("sns").publish(TopicArn=arn, Message=text)
        elif service == "sqs":
            sqs = self._client("sqs")
            url = sqs.get_queue_url(QueueName=arn.rpartition(":")[2])["QueueUrl"]
            sqs.send_message(QueueUrl=url, MessageBody=text)
        else:
            log.warning("rule %s: the local world delivers no events to %s", rule, arn)
