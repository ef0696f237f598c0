"""What only a real account can tell: each test settles one thing that Relay assumes of AWS.

    RELAY_AWS=1 AWS_PROFILE=... python -m pytest tests/aws -m aws -v

**What it makes**, in the region of RELAY_AWS_REGION (us-east-1 otherwise): an installation of Relay with the
examples `digits` (with a schedule that is switched off, and an API) and `graph`; besides, under names that
begin with `relay-probe`, a role, small state machines, an EventBridge rule and a queue. It refuses an account and
region in which a stack `relay` is already, or the bucket or the table that it would make.

**What it leaves**: nothing but what AWS keeps for ever by itself (names of jobs, model packages' events). At the
end everything is removed, the bucket and the table that it made included; if it is cut off, `relay destroy
--all` and the bucket's name, which is printed first, are what is left to do. API Gateway's account setting for
logs stays, with its role, as it does with every installation that makes it.

**What it costs**: about 1 US dollar. Some 16 jobs of about 4 billed minutes on ml.m5.xlarge at 0.23 USD an hour
(a snapshot of 2024, on-demand, as if no spot price were lower): 16 x 4 / 60 x 0.23 = 0.25 USD. State
transitions: under 1,000 at 0.025 USD a thousand. The topic's key: 1 USD a month, by the hour, so a cent; the
alarms (10 at 0.10 USD a month) likewise. Requests, logs and storage: cents. It takes about an hour.

**How a failure reads**: which assumption is wrong, what was seen instead, which module holds it, and whether
the machines work under the other reading all the same. What a test cannot bring about by itself (spot capacity
that goes away) it looks for in the account's own past, and is skipped where there is none.
"""
