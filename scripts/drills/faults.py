"""What can happen to a checkpoint folder between two attempts, and an own view of what is whole.

Nothing here uses workflows.checkpointing: a drill that trusts the code it tests proves nothing.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

# checkpoint's name -> the files in it that were harmed
Harm = dict[str, set[str]]


def names(folder: Path) -> list[str]:
    """The checkpoints in a folder, newest first."""
    found = [path.name for path in folder.glob("step-*-*") if path.is_dir()]
    return sorted(found, key=lambda name: [int(part) for part in name.split("-")[1:]], reverse=True)


def parts(checkpoint: Path, ranks: int) -> list[Path]:
    """Where the ranks' parts of one checkpoint lie."""
    return [checkpoint / f"rank-{rank}" for rank in range(ranks)] if ranks > 1 else [checkpoint]


def bad_files(checkpoint: Path, ranks: int) -> set[str]:
    """The names of the files that are not as the manifest says; empty for a whole checkpoint."""
    bad = set()
    for part in parts(checkpoint, ranks):
        try:
            manifest = json.loads((part / "manifest.json").read_bytes())
            claimed = manifest.pop("digest")
            text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
            if hashlib.sha256(text.encode()).hexdigest() != claimed:
                raise ValueError("the manifest does not match its own digest")
        except (OSError, ValueError, KeyError, AttributeError):
            bad.add("manifest.json")
            continue
        for name, (size, digest) in manifest["files"].items():
            try:
                data = (part / name).read_bytes()
            except OSError:
                data = b""
            if len(data) != size or hashlib.sha256(data).hexdigest() != digest:
                bad.add(name)
    return bad


def newest_whole(folder: Path, ranks: int) -> str | None:
    """The name of the newest checkpoint without a bad file."""
    return next((name for name in names(folder) if not bad_files(folder / name, ranks)), None)


def flip_a_bit(file: Path, rng: random.Random) -> None:
    """One bit of one byte, size and time of change kept from telling."""
    data = bytearray(file.read_bytes())
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        file.write_bytes(bytes(data))


def truncate(file: Path, rng: random.Random) -> None:
    """The file ends somewhere before its end."""
    with file.open("r+b") as opened:
        opened.truncate(rng.randrange(max(file.stat().st_size, 1)))


def delete(file: Path, rng: random.Random) -> None:
    """The file is gone."""
    file.unlink()


DAMAGES: dict[str, Callable[[Path, random.Random], None]] = {
    "flipped bit": flip_a_bit,
    "truncated": truncate,
    "deleted": delete,
}


def damage(folder: Path, kind: str, rng: random.Random) -> None:
    """Harms one to three files of the newest one or two checkpoints, but never the last whole."""
    victims = names(folder)
    for name in victims[: min(rng.randint(1, 2), len(victims) - 1)]:
        files = sorted(path for path in (folder / name).rglob("*") if path.is_file())
        for file in rng.sample(files, min(rng.randint(1, 3), len(files))):
            DAMAGES[kind](file, rng)


def sync(folder: Path, remote: Path, rng: random.Random, *, torn: bool) -> None:
    """What the platform's agent does: uploads in no order, perhaps not to the end.

    Removals are not carried over. Torn: some files never arrive, and one arrives cut.
    """
    remote.mkdir(exist_ok=True)
    files = [path for path in folder.rglob("*") if path.is_file()]
    rng.shuffle(files)
    arriving = files[: rng.randint(0, len(files))] if torn else files
    for number, file in enumerate(arriving):
        target = remote / file.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        data = file.read_bytes()
        if torn and number == len(arriving) - 1:
            data = data[: rng.randint(0, len(data))]
        target.write_bytes(data)


def restore(remote: Path, folder: Path) -> None:
    """A new machine: its folder is what the remote side has."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(remote, folder)
