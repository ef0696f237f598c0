"""For all tests: one that passes without having checked anything fails (`assertions.py`), and every
evaluation is replayed in the reference JSONata (`reference/plugin.py`)."""

import pkgutil
from pathlib import Path

import pytest

pytest_plugins = ["tests.assertions", "tests.reference.plugin"]
# Assertions count in the modules that hold no tests, too: pytest has to see them before they are imported.
pytest.register_assert_rewrite(
    *(f"tests.{found.name}" for found in pkgutil.iter_modules([Path(__file__).parent]))
)
