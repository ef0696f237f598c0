"""Evaluates JSONata as Step Functions does, with jsonata-python underneath (AWS.md 10).

This package puts the following between the two, each with its reason:

- **null is not undefined.** The library says None for "undefined" and `NULL_VALUE` for JSON null,
  but takes a None inside a list for undefined (`$map([null], ...)` drops it). Values go in with
  every None turned into `NULL_VALUE` (`prepare`) and come out as plain JSON (`plain`).
- **Its lists are not lists.** `JList` carries flags that change later evaluations; `plain` copies them.
- **Numbers are JavaScript's.** 4 / 2 is 2, and 1.0 is written as 1; NaN and infinities are errors.
- **An expression never changes its input**, which results may share: no function we expose writes to
  its arguments (a test tries them all), and nobody changes a result.
- **`$now` and `$millis` are the clock's**, where the library reads the wall, and worse, reads it
  from the expression that was *compiled* last.
- **`$sort` keeps the order of equals**, as JSONata's does.
- **Step Functions' own functions** `$parse $uuid $hash $partition $range $random`; `$eval` is gone
  (a call answers T1006, as on AWS). `$random`, `$uuid` and `$shuffle` follow the world's seed.
- **Bounds.** 100 levels of nesting, which is AWS's own ceiling, and a number of steps in place of
  AWS's seconds, so that a run repeats. The library's own Timebox measures from the compilation.
- **Python's own exceptions** (a division by zero, a bad number) become evaluation errors.
- **Compiled to Python** (`compiled/`) once it has been used a few times: a planned run evaluates two thousand
  expressions. The library parses, and answers whatever the compiled form leaves open, all errors among it.
- One thread for one world: the library keeps the expression being evaluated in a thread-local.
"""

from __future__ import annotations

import copy
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache, partial
from typing import Any, Protocol

from jsonata.jexception import JException
from jsonata.jsonata import Jsonata
from jsonata.parser import Parser

from workflows.local.step_functions.jsonata.compiled.compiler import Compiled, compiled
from workflows.local.step_functions.jsonata.compiled.library import LIBRARY
from workflows.local.step_functions.jsonata.depth import TOO_DEEP, Depth, UnclearError
from workflows.local.step_functions.jsonata.differences import Following
from workflows.local.step_functions.jsonata.json_values import ATOMS, ExpressionError, UndefinedError, plain
from workflows.local.step_functions.jsonata.own_functions import DRAWING, OwnFunctions
from workflows.local.step_functions.jsonata.references import top_level_references

VARIABLE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
# Everything of $states but these three needs the context object, which is costly to make.
CONTEXT = re.compile(r"\$states(?!\s*\.\s*(?:input|result|errorOutput)\b)")
USES_BEFORE_COMPILING = 3
"""Compiling an expression takes as long as some ten evaluations; a short run evaluates most only once."""


class Expression:
    """One expression with the names of the variables it can read; every world and thread may share it."""

    __slots__ = ("_tried", "_uses", "draws", "fast", "names", "taken", "text", "wants_context")

    def __init__(self, text: str) -> None:
        self.text = text
        # A superset: a name inside a string or a local one does no harm.
        self.names = frozenset(VARIABLE.findall(text))
        self.wants_context = bool(CONTEXT.search(text))
        self.draws = not DRAWING.isdisjoint(self.names)
        self.fast: Compiled | None = None
        self.taken: frozenset[str] = frozenset()
        self._uses = 0
        self._tried = False

    @property
    def tree(self) -> Any:
        """The syntax tree of the text; each thread has its own."""
        return _parsed(self.text).ast

    def unsupported(self) -> list[str]:
        """Return what AWS refuses at create: names read from the missing context item (AWS.md 10.3)."""
        known: dict[str, list[str]] = _shared.__dict__.setdefault("unsupported", {})
        if self.text not in known:
            known[self.text] = list(dict.fromkeys(top_level_references(self.tree)))
        return known[self.text]

    def used(self, before: int) -> None:
        """Compile it, once, when it has been evaluated so many times."""
        self._uses += 1
        if self._uses > before and not self._tried:
            self._tried = True
            names = frozenset(LIBRARY) - {"eval"} | OwnFunctions.NAMES
            found = compiled(self.text, self.tree, names)
            if found is not None:
                self.fast, self.taken = found


class Observer(Protocol):
    """Who looks at each evaluation of each world: the test run asks the reference the same."""

    def evaluated(
        self,
        evaluate: Callable[[], Any],
        world: Expressions,
        expression: Expression,
        variables: Mapping[str, Any],
    ) -> Any:
        """Call `evaluate` and return what it returns, or raise what it raises."""


_observer: Observer | None = None


def observe(observer: Observer | None) -> None:
    """Show every evaluation of this process to an observer; None: to nobody."""
    global _observer
    _observer = observer


def observer() -> Observer | None:
    """Who observes now."""
    return _observer


class Expressions:
    """Knows each text once and evaluates it with the world's clock and randomness.

    `compile_after`: how many times the library evaluates an expression before it is compiled; None: always.
    """

    def __init__(
        self,
        now: Callable[[], datetime],
        seed: int = 0,
        *,
        compile_after: int | None = USES_BEFORE_COMPILING,
    ) -> None:
        self._compile_after = compile_after
        self._libraries: dict[str, Jsonata] = {}
        self._depth = Depth()
        self._own = OwnFunctions(now, seed)
        self._run = _Run(self._own)
        # The library looks these up at every node, from the innermost frame outwards: bound with
        # the variables they are found sooner than in the frame of the functions.
        self._bounds = {
            "__evaluate_entry": self._depth.entered,
            "__evaluate_exit": self._depth.left,
        }

    def compile(self, text: str) -> Expression:
        """Return the compiled form of an expression (without its `{% %}`)."""
        return _expression(text)

    def evaluate(
        self, expression: Expression, variables: Mapping[str, Any], plain_already: Sequence[Any] = ()
    ) -> Any:
        """Evaluate with prepared values; raises ExpressionError, UndefinedError or UnsupportedResultError.

        The result shares with them what it can; what is known to be plain JSON is not even looked through.
        """
        if _observer is None:
            return self._evaluate(expression, variables, plain_already)
        evaluate = partial(self._evaluate, expression, variables, plain_already)
        return _observer.evaluated(evaluate, self, expression, variables)

    def _evaluate(
        self, expression: Expression, variables: Mapping[str, Any], plain_already: Sequence[Any]
    ) -> Any:
        fast = expression.fast
        if fast is None or self._compile_after is None:
            fast = self._learned(expression)
        if fast is None or not expression.taken.isdisjoint(variables):
            result = self.ask_library(expression, variables)
        else:
            if expression.draws:
                self._own.mark()
            try:
                result = fast(variables, self._run)
            except Exception:  # it is not sure, or it is an error, for whose words the library is asked
                if expression.draws:
                    self._own.rewind()
                result = self.ask_library(expression, variables)
        if result.__class__ in ATOMS:
            return result
        if result is None:
            raise UndefinedError
        for known in plain_already:
            if result is known:
                return result
        return plain(result)

    def _learned(self, expression: Expression) -> Compiled | None:
        """Count one more use of an expression and return its compiled form, if it has one now."""
        if self._compile_after is None:
            return None
        expression.used(self._compile_after)
        return expression.fast

    # The library

    def depth_of(self, expression: Expression, variables: Mapping[str, Any]) -> int:
        """Return how deep an evaluation is, of the 100 that are allowed; raises ExpressionError beyond."""
        self._depth.begin(exact=True)
        try:
            self._library(expression).evaluate(None, {**variables, **self._bounds})
        except Exception as error:
            raise ExpressionError(_message(error)) from error
        return self._depth.deepest

    def ask_library(self, expression: Expression, variables: Mapping[str, Any]) -> Any:
        """Return the library's answer, None for undefined; raises ExpressionError."""
        self._depth.begin()
        if expression.draws:
            self._own.mark()
        try:
            return self._ask(expression, variables)
        except RecursionError as error:
            raise ExpressionError(TOO_DEEP) from error
        except Exception as error:
            raise ExpressionError(_message(error)) from error

    def _ask(self, expression: Expression, variables: Mapping[str, Any]) -> Any:
        bound = {**variables, **self._bounds}
        try:
            return self._library(expression).evaluate(None, bound)
        except UnclearError:  # once more, with an exact count
            if expression.draws:
                self._own.rewind()
            self._depth.begin(exact=True)
            return self._library(expression).evaluate(None, bound)

    def _library(self, expression: Expression) -> Jsonata:
        """Return the expression as the library's object, with this world's functions in its frame."""
        known = self._libraries.get(expression.text)
        if known is None:
            known = copy.copy(_parsed(expression.text))
            frame = known.create_frame(Jsonata.static_frame)
            known.environment = frame
            for name, function in self._own.table.items():
                frame.bind(name, function)
            frame.bind("eval", None)
            self._libraries[expression.text] = known
        return known


class _Run:
    """The parts of a world that compiled expressions ask for."""

    __slots__ = ("functions", "millis")

    def __init__(self, own: OwnFunctions) -> None:
        self.functions: dict[str, Any] = {**LIBRARY, **own.table}
        self.millis = own.millis


@lru_cache(maxsize=20_000)
def _expression(text: str) -> Expression:
    expression = Expression(text)
    _parsed(expression.text)  # an expression that does not parse is no expression
    return expression


def _parsed(text: str) -> Jsonata:
    """Parse a text once for each thread: worlds share it, the frame around it is their own.

    A machine of 70 KB takes 0.2 s to parse, and planning makes a world for each run.
    """
    known: dict[str, Jsonata] = _shared.__dict__.setdefault("parsed", {})
    if not _shared.__dict__.get("lean"):
        _lean(Jsonata.get_parser())
        _shared.lean = True
    if text not in known:
        try:
            parsed = _Jsonata(text)
        except Exception as error:
            raise ExpressionError(_message(error)) from error
        if parsed.get_errors():
            raise ExpressionError(_message(parsed.get_errors()[0]))
        parsed.set_output_convert_nulls(False)
        parsed.set_validate_input(False)
        known[text] = parsed
    return known[text]


_shared = threading.local()


class _Lean:
    """A symbol of the grammar that copies itself, without the fifty attributes that it does not use.

    The library copies one for every token, with copy.copy, and all attributes with it. A chain of 30 stages
    has 130,000 tokens: parsed in 1.1 s instead of 1.7 s, into 80 MB instead of 160 MB.
    """

    def clone(self) -> Any:
        twin = object.__new__(type(self))
        for name, value in vars(self).items():  # one by one: a copied __dict__ would be one more object
            # An operator that can also stand before its operand has a prefix: each its own.
            setattr(twin, name, value.clone() if name == "prefix" else value)
        return twin


def _lean(parser: Any) -> None:
    """Make the symbols of a thread's parser lean: attributes that they do not use move to their class."""
    unused = {name: value for name, value in vars(Parser.Symbol(None)).items() if not value}
    for symbol in parser.symbol_table.values():
        for each in (symbol, vars(symbol).get("prefix")):
            if each is not None:
                kind = type(each)
                each.__class__ = type(kind.__name__, (_Lean, kind), unused)
                for name in unused.keys() & vars(each).keys():
                    if not vars(each)[name]:
                        del vars(each)[name]


class _Frame(Jsonata.Frame):  # type: ignore[misc]
    """Variables in scope; the library's own looks them up by recursion, at twice the cost."""

    def lookup(self, name: str) -> Any:
        frame = self
        while frame is not None:
            bindings = frame.bindings
            if name in bindings:
                return bindings[name]
            frame = frame.parent
        return None


class _Jsonata(Following):
    """The library with our frames."""

    def create_frame(self, enclosing_environment: Any = None) -> _Frame:
        return _Frame(enclosing_environment)


def _message(error: BaseException) -> str:
    """Return JSONata's code and text as AWS prints them: `T2001: The left side of the + operator ...`."""
    if isinstance(error, JException):
        # The port writes "Object" where JSONata says "function".
        text = re.sub(
            r"of Object (\S+) does not match Object signature",
            r'of function "\1" does not match function signature',
            str(error),
        )
        text = re.sub(r": (-?)inf$", r": \1Infinity", text)
        return f"{error.error}: {text}"
    if isinstance(error, ValueError) and "convert string to float" in str(error):
        return f"D3030: Unable to cast value to a number: {str(error).rpartition(': ')[2]}"
    return str(error) or type(error).__name__
