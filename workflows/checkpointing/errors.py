"""What can go wrong with a checkpoint, each with what to do about it."""

STOPPED_EXIT_CODE = 143  # 128 + SIGTERM: what a shell says of a process that SIGTERM ended


class CheckpointError(Exception):
    """The one base of the errors that this package raises."""


class UnsupportedStateError(CheckpointError):
    """A value in the state cannot be saved, or cannot be restored in place."""


class RestoreError(CheckpointError):
    """A whole checkpoint was read, but an object or a random generator refused it."""


class ConfigurationChangedError(CheckpointError):
    """The checkpoint was made with other hyperparameters than the ones given now."""


class DamagedError(CheckpointError):
    """One checkpoint is not whole: names the file and the reason."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = file
        self.reason = reason


class Stopped(SystemExit):
    """The process was asked to stop, and its progress is saved; ends it with exit code 143.

    It derives from SystemExit and not from Exception, so that a training script's own
    `except Exception` does not swallow the request.
    """

    def __init__(self) -> None:
        super().__init__(STOPPED_EXIT_CODE)
