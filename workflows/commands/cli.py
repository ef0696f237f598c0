"""The `relay` command. Heavy imports stay inside the verbs, so that `relay --help` answers at once."""

from __future__ import annotations

import sys

import typer

from workflows.commands import (
    compiling,
    deploy,
    destroy,
    doctor,
    explain,
    local,
    plan,
    receipt,
    resume,
    run,
    runs,
    start,
    stats,
    stop,
    watch,
)
from workflows.errors import RelayError

EXIT_CODES = (
    "Exit codes: 0 done (also when a gate said stop); 1 the run failed, or `local status` found no world; 2 "
    "bad input, an unknown run, no place to go to, or a run that was refused at its start; 3 a run of that "
    "name exists; 4 AWS "
    "(or the local world) could not be asked, or refused: no credentials, no answer, busy, not allowed; "
    "130 Ctrl-C, with which `run` stops the run and `watch` leaves it going."
)

app = typer.Typer(
    name="relay",
    help=f"Runs multi-stage model training on interruptible capacity, and always finishes.\n\n{EXIT_CODES}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

# A pipeline's file.
app.command("run")(run.run)
app.command("check")(compiling.check)
app.command("plan")(plan.plan)
app.command("compile")(compiling.compile_)
app.command("schema")(compiling.schema)
# A run's life, on AWS or in `relay local`.
app.command("start")(start.start)
app.command("watch")(watch.watch)
app.command("runs")(runs.runs)
app.command("stop")(stop.stop)
app.command("resume")(resume.resume)
app.command("explain")(explain.explain)
app.command("receipt")(receipt.receipt)
app.command("stats")(stats.stats)
# The installation in an account, and the one on this computer.
app.command("deploy")(deploy.deploy)
app.command("destroy")(destroy.destroy)
app.command("doctor")(doctor.doctor)
app.add_typer(local.app, name="local")


def main() -> None:
    """The console command; every error that is the user's to mend is one clear message."""
    try:
        app()
    except RelayError as error:
        _end(error)
    except Exception as error:
        if not _is_from_aws(error):
            raise
        from workflows.runs.aws_errors import AwsError, explained

        _end(explained(error) or AwsError(str(error)))


def _end(error: RelayError) -> None:
    print(f"relay: {error}", file=sys.stderr)
    sys.exit(error.exit_code)


def _is_from_aws(error: Exception) -> bool:
    """Whether a boto3 call was refused or found nobody; botocore is not imported just to ask."""
    return any(kind.__name__ in {"ClientError", "BotoCoreError"} for kind in type(error).__mro__)


if __name__ == "__main__":
    main()
