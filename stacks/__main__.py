"""`python -m stacks PIPELINE` prints the pipeline's template; without PIPELINE, what the cdk command runs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from stacks.app import synthesize
from stacks.names import stack_name
from stacks.settings import load
from workflows.errors import RelayError
from workflows.specification.loading import load as load_pipeline


def main(arguments: list[str]) -> int:
    """Returns the exit code: 2 for what cannot be deployed."""
    folder = Path.cwd()
    try:
        settings = load(folder)
        if not arguments:
            synthesize(settings, folder, os.environ.get("CDK_OUTDIR", "cdk.out"))
            return 0
        if len(arguments) > 1:
            raise RelayError(f"one PIPELINE is printed at a time, and {len(arguments)} were given")
        name = load_pipeline(folder / arguments[0]).name
        triggers = {key: each for key, each in settings.triggers.items() if key == name}
        only = settings.model_copy(update={"pipelines": (arguments[0],), "triggers": triggers})
        print(json.dumps(synthesize(only, folder)[stack_name(name)], indent=1))
    except RelayError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
