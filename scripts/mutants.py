"""Mutation testing: which small changes of the code does no test notice?

    python -m scripts.mutants                  every module of the table
    python -m scripts.mutants prices tally     these alone
    python -m scripts.mutants --seconds 600    no longer than this; the next call goes on where it ended

Cosmic Ray changes a copy of the repository under `.relay/mutants`, one place at a time, and runs the tests
that the table names. What is known already is kept beside the copy: a call goes on with what is left;
`--fresh` begins again, as it must once the code or its tests have changed. It is no part of CI: a module
takes minutes to hours.
"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACE = ROOT / ".relay" / "mutants"
TIMEOUT = 120  # seconds for the tests of one mutant: several times what they take, for those that loop

_RULES = ("tests/unit/test_rules.py", "tests/unit/test_outcomes.py", "tests/machine/test_outcome_table.py")
_STORE = ("tests/checkpointing/test_store.py",)
TESTS: dict[str, tuple[str, ...]] = {
    "workflows/policy/outcomes.py": _RULES,
    "workflows/policy/rules.py": _RULES,
    "workflows/policy/tally.py": _RULES,
    "workflows/policy/decisions.py": _RULES,
    "workflows/policy/prices.py": ("tests/unit/test_receipt.py", "tests/machine/test_spending_limit.py"),
    "workflows/checkpointing/store.py": _STORE,
    "workflows/checkpointing/manifest.py": _STORE,
    "workflows/checkpointing/resuming.py": ("tests/checkpointing/test_resume.py", *_STORE),
}
"""Module -> the fast tests that ought to notice a change of it."""


def main() -> int:
    """Prints the score and the survivors of each module; 1 when there are any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=", ".join(Path(m).stem for m in TESTS))
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end after so long")
    parser.add_argument("--fresh", action="store_true", help="forget what is known")
    options = parser.parse_args()
    unknown = set(options.modules) - {Path(module).stem for module in TESTS}
    if unknown:
        parser.error(f"no such module: {', '.join(sorted(unknown))}; there are: {short_names()}")
    if options.fresh:
        shutil.rmtree(PLACE, ignore_errors=True)
    end, survived = time.monotonic() + options.seconds, 0
    for module, tests in TESTS.items():
        if not options.modules or Path(module).stem in options.modules:
            survived += _mutate(module, tests, end)
    return 1 if survived else 0


def short_names() -> str:
    """The short names of the modules in the table."""
    return ", ".join(Path(module).stem for module in TESTS)


def _mutate(module: str, tests: tuple[str, ...], end: float) -> int:
    """How many mutants of the module survive, of those that there is time for."""
    copy, session = PLACE / "copy", PLACE / f"{Path(module).stem}.sqlite"
    config = session.with_suffix(".toml")
    PLACE.mkdir(parents=True, exist_ok=True)
    # A mutant that was cut off may still stand in the copy.
    shutil.rmtree(copy, ignore_errors=True)
    for name in ("workflows", "stacks", "scripts", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    command = f"{sys.executable} -m pytest -x -q -n 0 --no-replay -p no:cacheprovider {' '.join(tests)}"
    config.write_text(
        f'[cosmic-ray]\nmodule-path = "{module}"\ntimeout = {TIMEOUT}\nexcluded-modules = []\n'
        f'test-command = "{command}"\n[cosmic-ray.distributor]\nname = "local"\n'
    )
    if not session.exists():
        subprocess.run(command.split(), cwd=copy, check=True, stdout=subprocess.DEVNULL)
        subprocess.run([_tool(), "init", config, session], cwd=copy, check=True)
    running = subprocess.Popen([_tool(), "exec", config, session], cwd=copy)
    try:
        while running.poll() is None and time.monotonic() < end:
            print(f"\r{module}: {_known(session)} of {_all(session)} mutants", end="", file=sys.stderr)
            time.sleep(2)
    finally:
        running.terminate()
        running.wait()
    print(file=sys.stderr)
    return _report(module, session)


def _tool() -> str:
    tool = Path(sys.executable).parent / "cosmic-ray"
    if not tool.exists():
        raise SystemExit('Cosmic Ray is not installed: pip install -e ".[mutants]" -c constraints.txt')
    return str(tool)


# The `|` of type annotations, which nobody evaluates; none of the modules has another.
NO_CODE = "operator_name LIKE '%_BitOr_%'"


def _count(session: Path, query: str) -> int:
    with sqlite3.connect(session) as database:
        return int(database.execute(query).fetchone()[0])


def _all(session: Path) -> int:
    return _count(session, f"SELECT count(*) FROM mutation_specs WHERE NOT {NO_CODE}")


def _known(session: Path) -> int:
    return _count(
        session, f"SELECT count(*) FROM work_results JOIN mutation_specs USING (job_id) WHERE NOT {NO_CODE}"
    )


def _report(module: str, session: Path) -> int:
    with sqlite3.connect(session) as database:
        survivors = database.execute(
            "SELECT start_pos_row, operator_name, occurrence FROM mutation_specs "
            f"JOIN work_results USING (job_id) WHERE test_outcome = 'SURVIVED' AND NOT {NO_CODE} "
            "ORDER BY start_pos_row"
        ).fetchall()
    known, every = _known(session), _all(session)
    killed = known - len(survivors)
    share = f"{100 * killed / known:.1f} %" if known else "nothing is known yet"
    print(f"{module}: {killed} of {known} mutants killed ({share}); {every - known} not tried")
    for row, operator, occurrence in survivors:
        print(f"  {module}:{row} {operator.rpartition('/')[2]} (occurrence {occurrence})")
    return len(survivors)


if __name__ == "__main__":
    sys.exit(main())
