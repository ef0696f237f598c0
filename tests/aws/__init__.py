"""What only a real account can tell: each test settles one thing that Relay assumes of AWS.

    RELAY_AWS=1 AWS_PROFILE=... python -m pytest tests/aws -m aws -v

**What it makes**, in the region of RELAY_AWS_REGION (us-east-1 otherwise): an installation of Relay with the
examples `digits` (with a schedule that is switched off, and an API) and `graph`; besides, under names that
begin with `relay-probe`, a role, a key, small state machines, an EventBridge rule and a queue. It refuses an
account and region in which a stack `relay` is already, or the bucket or the table that it would make.

**What it leaves**: at the end everything is removed, the bucket and the table that it made included, whatever
the tests say. AWS itself keeps the names and descriptions of jobs, the model package group `graph` with its
version, the key for the 7 days until it is deleted, and API Gateway's account setting for logs with its role.
If the suite is killed, `relay destroy --all` and the bucket and table that it prints are left to remove.

**What it costs**: about 1 US dollar. Some 25 jobs of about 4 billed minutes on ml.m5.xlarge at 0.23 USD an
hour (a snapshot of 2024, on demand, as if spot saved nothing): 25 x 4 / 60 x 0.23 = 0.38 USD. Transitions:
under 2,000 at 0.025 USD a thousand, 0.05 USD. Two keys at 1 USD and ten alarms at 0.10 USD a month, by the
hour: cents. Requests, logs and storage: cents. It takes about an hour and a half.

**How a failure reads**: which assumption is wrong, what was seen instead, which module holds it, and what
follows. What a test cannot bring about by itself (spot capacity that goes away) it looks for in the account's
own past, and is skipped where there is none.
"""
