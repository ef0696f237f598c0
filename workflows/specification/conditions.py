"""The condition of a gate: numbers that earlier stages reported, compared.

    {{ pretrain.metrics.accuracy }} >= 0.9 and not {{ tune.metrics.loss }} > 1.5

Written once, it is evaluated in Python (planner, tests) and rendered as JSONata into the machine.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

METRIC = re.compile(r"\{\{\s*([a-z0-9-]+)\.metrics\.([^\s{}]+)\s*\}\}")
LONGEST = 500  # characters
DEEPEST = 25  # of the 100 levels that Step Functions allows an expression an operation takes two

_COMPARE: dict[type[ast.AST], tuple[Callable[[float, float], bool], str]] = {
    ast.GtE: (operator.ge, ">="),
    ast.LtE: (operator.le, "<="),
    ast.Gt: (operator.gt, ">"),
    ast.Lt: (operator.lt, "<"),
    ast.Eq: (operator.eq, "="),
    ast.NotEq: (operator.ne, "!="),
}
_ARITHMETIC: dict[type[ast.AST], tuple[Callable[[float, float], float], str]] = {
    ast.Add: (operator.add, "+"),
    ast.Sub: (operator.sub, "-"),
    ast.Mult: (operator.mul, "*"),
    ast.Div: (operator.truediv, "/"),
}

Metric = tuple[str, str]  # (stage, name)


@dataclass(frozen=True)
class Condition:
    """A parsed condition; `metrics` in the order in which they stand."""

    text: str
    metrics: tuple[Metric, ...]
    _tree: ast.expr

    def holds(self, values: Mapping[Metric, float]) -> bool:
        """Whether it holds for these values. KeyError for a metric that is not among them."""
        return bool(self._value(self._tree, values))

    def jsonata(self, metric: Callable[[str, str], str]) -> str:
        """The same as an expression; `metric` gives the one of a metric's value."""
        return self._text(self._tree, metric)

    def _value(self, node: ast.expr, values: Mapping[Metric, float]) -> float | bool:
        match node:
            case ast.BoolOp(op=ast.And()):
                return all(self._value(each, values) for each in node.values)
            case ast.BoolOp():
                return any(self._value(each, values) for each in node.values)
            case ast.UnaryOp(op=ast.Not()):
                return not self._value(node.operand, values)
            case ast.UnaryOp():
                return -self._value(node.operand, values)
            case ast.Compare():
                sides = [self._value(each, values) for each in (node.left, *node.comparators)]
                return all(
                    _COMPARE[type(op)][0](a, b) for op, a, b in zip(node.ops, sides, sides[1:], strict=False)
                )
            case ast.BinOp():
                left, right = self._value(node.left, values), self._value(node.right, values)
                return _ARITHMETIC[type(node.op)][0](left, right)
            case ast.Name():
                return values[self._metric(node)]
        return float(ast.literal_eval(node))

    def _text(self, node: ast.expr, metric: Callable[[str, str], str]) -> str:
        match node:
            case ast.BoolOp():
                word = " and " if isinstance(node.op, ast.And) else " or "
                return "(" + word.join(self._text(each, metric) for each in node.values) + ")"
            case ast.UnaryOp(op=ast.Not()):
                return f"$not({self._text(node.operand, metric)})"
            case ast.UnaryOp():
                return f"(0 - {self._text(node.operand, metric)})"
            case ast.Compare():
                sides = [self._text(each, metric) for each in (node.left, *node.comparators)]
                pairs = zip(node.ops, sides, sides[1:], strict=False)
                return "(" + " and ".join(f"{a} {_COMPARE[type(op)][1]} {b}" for op, a, b in pairs) + ")"
            case ast.BinOp():
                sign = _ARITHMETIC[type(node.op)][1]
                left, right = self._text(node.left, metric), self._text(node.right, metric)
                if sign == "/":  # JSONata goes on with Infinity, and the gate would pass or stop by chance
                    right = f'($by := {right}; $by = 0 ? $error("the condition divides by zero") : $by)'
                return f"({left} {sign} {right})"
            case ast.Name():
                return metric(*self._metric(node))
        return repr(ast.literal_eval(node))

    def _metric(self, node: ast.Name) -> Metric:
        return self.metrics[int(node.id.removeprefix("metric"))]


def parse(text: str) -> Condition:
    """The condition in a text. Raises ValueError that says what is wrong and what is allowed."""
    if len(text) > LONGEST:
        raise ValueError(f"a condition of at most {LONGEST} characters")
    metrics = tuple((match[1], match[2]) for match in METRIC.finditer(text))
    numbered = iter(range(len(metrics)))
    source = METRIC.sub(lambda _: f" metric{next(numbered)} ", text).strip()
    try:
        tree = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(_ALLOWED) from None
    words = set(re.findall(r"\b[A-Za-z_]\w*", METRIC.sub(" ", text))) - {"and", "or", "not"}
    if (
        words
        or not metrics
        or not isinstance(tree, ast.Compare | ast.BoolOp | ast.UnaryOp)
        or not _sound(tree)
    ):
        raise ValueError(_ALLOWED)
    if _depth(tree) > DEEPEST:
        raise ValueError(f"a condition with at most {DEEPEST} operations inside each other")
    return Condition(text, metrics, tree)


def _depth(node: ast.expr) -> int:
    """Operations inside each other; a chain (`a and b and c`) counts as JSONata nests it."""
    parts = [_depth(each) for each in ast.iter_child_nodes(node) if isinstance(each, ast.expr)]
    own = len(node.values) - 1 if isinstance(node, ast.BoolOp) else 1
    return own + max(parts) if parts else 0


_ALLOWED = (
    "a comparison of metrics such as `{{ pretrain.metrics.accuracy }} >= 0.9`; "
    "allowed: numbers, metrics, >= <= > < == !=, + - * /, and, or, not, parentheses"
)


def _sound(node: ast.expr, *, number: bool = False) -> bool:
    """Whether it is made of what is allowed; `number` where a number must stand, else a yes or no."""
    match node:
        case ast.BoolOp():
            return not number and all(_sound(each) for each in node.values)
        case ast.UnaryOp(op=ast.Not()):
            return not number and _sound(node.operand)
        case ast.Compare():
            known = all(type(op) in _COMPARE for op in node.ops)
            return (
                not number
                and known
                and all(_sound(each, number=True) for each in (node.left, *node.comparators))
            )
        case ast.UnaryOp(op=ast.USub()):
            return number and _sound(node.operand, number=True)
        case ast.BinOp():
            known = type(node.op) in _ARITHMETIC
            return number and known and _sound(node.left, number=True) and _sound(node.right, number=True)
        case ast.Name():
            return number and re.fullmatch(r"metric[0-9]+", node.id) is not None
        case ast.Constant():
            return number and type(node.value) in (int, float)
    return False
