"""The one base of every error that Relay raises for its user."""


class RelayError(Exception):
    """Says what was seen, what is allowed and what to do; printed without a traceback.

    `exit_code` is the status with which the `relay` command ends: 2 for bad input (the default),
    1 for a run that failed or a service that refused.
    """

    exit_code = 2
