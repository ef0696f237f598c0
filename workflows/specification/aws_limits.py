"""What AWS takes at most: limits that the specification, the compiler and the local world check.

Sources: Step Functions "Service quotas" and API reference; SageMaker API reference. `local/AWS.md` has more.
"""

from __future__ import annotations

from datetime import timedelta

# Step Functions
MOST_DEFINITION = 1_048_576  # bytes of a state machine's definition
MOST_EVENTS = 25_000  # of an execution's history
MOST_VALUE = 262_144  # bytes of a variable, of a state's input or output, and of an execution's input
LONGEST_WAIT = 99_999_999  # seconds of a Wait, TimeoutSeconds, HeartbeatSeconds
LONGEST_STATE_NAME = 80  # characters
LONGEST_RUN_NAME = 80  # characters of an execution's name
MOST_INLINE = 40  # iterations of an inline Map at once
MOST_DISTRIBUTED = 10_000  # children of a distributed Map at once

# SageMaker
LONGEST_JOB_NAME = 63  # characters
LONGEST_TRAINING = timedelta(days=28)  # MaxRuntimeInSeconds of a training job
LONGEST_PROCESSING = timedelta(days=5)  # MaxRuntimeInSeconds of a processing job
MOST_PREFERENCES = 5  # InstancePreferences
MOST_TAGS = 50  # of one resource
