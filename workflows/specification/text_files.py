"""The text of a pipeline's file, YAML or Python, or why it cannot be read."""

from __future__ import annotations

import difflib
from pathlib import Path

from workflows.specification.mistakes import SpecificationError

LARGEST_FILE = 1_000_000  # bytes; a pipeline is written by hand


def readable(path: Path) -> str:
    """The text of a pipeline's file. Raises SpecificationError."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise SpecificationError([f"{path}: larger than {LARGEST_FILE:,} bytes: is it a pipeline?"])
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = difflib.get_close_matches(path.name, [p.name for p in _siblings(path)], 1)
        hint = f"; did you mean `{path.with_name(near[0])}`?" if near else ""
        raise SpecificationError([f"{path}: no such file{hint}"]) from None
    except IsADirectoryError:
        raise SpecificationError([f"{path}: is a folder; name the pipeline's file in it"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecificationError([f"{path}: cannot be read: {error}"]) from None


def _siblings(path: Path) -> list[Path]:
    kinds = "*.py" if path.suffix == ".py" else "*.y*ml"
    return list(path.parent.glob(kinds)) if path.parent.is_dir() else []
