"""Holds the Python source while it grows: lines, unique names, constants, and the variables in sight."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Kind = Literal["any", "boolean", "truth", "text", "texts", "defined", "plain"]
"""What the compiler knows about a value.

`any`: nothing. `boolean`: it is true or false. `truth`: it is true, false or undefined. `text`: it is a
text. `texts`: it is an array of texts that is written in the expression. `defined`: it is not undefined.
`plain`: it is no array and may be undefined, so that Python's truth is JSONata's.
"""


class UnsupportedError(Exception):
    """The expression has a part that only the library evaluates."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A value in the source: a name or a constant, which can be written down more than once."""

    code: str
    kind: Kind = "any"

    @property
    def defined(self) -> bool:
        """Whether the value cannot be undefined."""
        return self.kind in ("boolean", "text", "texts", "defined")

    @property
    def test(self) -> str:
        """The source to write behind an `if`."""
        return f"truth({self.code})" if self.kind in ("any", "texts", "defined") else self.code

    @property
    def boolean(self) -> str:
        """The source of the effective boolean as a value."""
        known = {"boolean": self.code, "truth": f"{self.code} is True"}
        return known.get(self.kind, f"truth({self.code})")


UNDEFINED = Piece("None")


class Write(Protocol):
    """Writes what evaluates a node, whatever its kind; returns where its value is.

    `tail`: the node is what a lambda returns. The library gives that on as it is, a sequence of one item too.
    """

    def __call__(self, source: Source, node: Any, context: Piece, *, tail: bool = False) -> Piece:
        """Raises UnsupportedError."""
        ...


@dataclass(slots=True)
class Slot:
    """A variable of the expression: a local of the Python function around it.

    `bound` while what is being written can rely on it; a lambda may be called before the variable that it
    reads is there, and then sees the one outside: such a slot is `asked` and starts as UNBOUND.
    """

    code: str
    bound: bool = False
    asked: bool = False
    kind: Kind = "any"


@dataclass(slots=True)
class Frame:
    """The variables of one block or one lambda."""

    slots: dict[str, Slot] = field(default_factory=dict)
    of_lambda: bool = False


@dataclass(slots=True)
class Extent:
    """The depth and the number of nodes that the library would visit in the part that is being written."""

    depth: int = 0
    deepest: int = 0
    nodes: int = 0


@dataclass(slots=True)
class Read:
    """A path that was read: where its value is, and how often it is asked for."""

    code: str
    place: int
    times: int = 1


Reads = dict[tuple[str, tuple[str | None, ...]], Read]


class Source:
    """The source of one expression."""

    def __init__(self, write: Write, functions: frozenset[str]) -> None:
        self.write = write
        self.functions = functions
        self.lines: list[str] = []
        self.constants: dict[str, Any] = {}
        self.frames: list[Frame] = []
        self.free: dict[str, str] = {}
        self.used: set[str] = set()
        self.extent = Extent()
        self.loops = 0
        self._reads: list[Reads] = [{}]  # from the outer lines to the inner ones
        self._indent = 1
        self._names = 0

    # Lines

    def line(self, code: str) -> int:
        """Write a line; returns its place."""
        self.lines.append(" " * self._indent + code)
        return len(self.lines) - 1

    def rewrite(self, place: int, code: str) -> None:
        """Write another line where one stands."""
        old = self.lines[place]
        self.lines[place] = old[: len(old) - len(old.lstrip())] + code

    @contextmanager
    def visited(self) -> Iterator[None]:
        """Counts the lines that are written inside as one node of the library, one level deeper."""
        extent = self.extent
        extent.depth += 1
        extent.nodes += 1
        extent.deepest = max(extent.deepest, extent.depth)
        yield
        extent.depth -= 1

    @contextmanager
    def loop(self, item: str, values: str) -> Iterator[int]:
        """Writes a loop; what its lines count towards the library's bound is counted before they begin.

        Yields the place of the line that begins the loop.
        """
        count, before = self.line("pass"), self.extent.nodes
        begin = self.line(f"for {item} in {values}:")
        self.loops += 1
        with self.apart(), self.indented():
            yield begin
        self.loops -= 1
        self.rewrite(count, f"spend(B, len({values}) * {self.extent.nodes - before})")

    @contextmanager
    def indented(self) -> Iterator[None]:
        """Indents the lines that are written inside below the line before them."""
        if self._indent > 90:  # Python reads a hundred levels
            raise UnsupportedError
        self._indent += 1
        self._reads.append({})
        yield
        self._reads.pop()
        self._indent -= 1

    def name(self, prefix: str = "t") -> str:
        """Returns a name that nothing else has."""
        self._names += 1
        return f"{prefix}{self._names}"

    def keep(self, code: str, kind: Kind = "any") -> Piece:
        """Writes a line that works a value out, once, and returns the name that it has."""
        name = self.name()
        self.line(f"{name} = {code}")
        return Piece(name, kind)

    def constant(self, value: Any) -> str:
        """Returns a name for a value that is no literal of Python's."""
        name = self.name("K")
        self.constants[name] = value
        return name

    # Paths that are read more than once

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Marks lines that run more than once, or later: they read paths again that were read before them."""
        outer, self._reads = self._reads, []
        yield
        self._reads = outer

    def read_before(self, value: str, names: tuple[str | None, ...]) -> Read | None:
        """Returns the earlier reading of a path, if each way to the present line has passed it."""
        for reads in reversed(self._reads):
            if (value, names) in reads:
                return reads[value, names]
        return None

    def remember(self, value: str, names: tuple[str | None, ...], code: str) -> None:
        """Notes that the last line has read this path."""
        self._reads[-1][value, names] = Read(code, len(self.lines) - 1)

    def changed(self, value: str) -> None:
        """Notes that a name stands for another value now."""
        for reads in self._reads:
            for key in [key for key in reads if key[0] == value]:
                del reads[key]

    # Variables

    @contextmanager
    def frame(self, frame: Frame) -> Iterator[None]:
        """Puts these variables in sight of the lines that are written inside."""
        self.frames.append(frame)
        yield
        self.frames.pop()

    def variable(self, name: str) -> Piece:
        """Returns a variable as the frames have it, from the innermost outwards."""
        return self._read(name, len(self.frames) - 1, inside=True)

    def _read(self, name: str, place: int, *, inside: bool) -> Piece:
        while place >= 0:
            frame = self.frames[place]
            slot = frame.slots.get(name)
            if slot is not None and slot.bound:
                return Piece(slot.code, slot.kind)
            if slot is not None and not inside:
                slot.asked = True
                outer = self._read(name, place - 1, inside=inside).code
                return self.keep(f"{slot.code} if {slot.code} is not UNBOUND else {outer}")
            inside = inside and not frame.of_lambda
            place -= 1
        return self._free(name)

    def _free(self, name: str) -> Piece:
        if name in self.functions:
            self.used.add(name)
            return self.keep(f"R.functions[{name!r}]")
        if name not in self.free:
            self.free[name] = self.name("v")
        return Piece(self.free[name])

    def is_free(self, name: str) -> bool:
        """Whether no frame of the expression has a variable of this name."""
        return not any(name in frame.slots for frame in self.frames)
