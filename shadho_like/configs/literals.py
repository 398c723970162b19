"""Values written on a command line: literals, simple arithmetic, lists and dicts. Read from the syntax tree; nothing is run."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

_NAMES: Mapping[str, Any] = {"true": True, "false": False, "null": None, "inf": float("inf"), "nan": float("nan")}
_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_MOST_BITS = 4096


def evaluate(text: str) -> Any:
    """Return the value that a text stands for; a bare word in a list or dict stands for itself.

    Raises:
        ValueError: it is no literal and no arithmetic, or would be too large.
    """
    try:
        return _value(ast.parse(text.strip(), mode="eval").body, nested=False)
    except (SyntaxError, ArithmeticError, RecursionError, MemoryError, TypeError) as error:
        message = f"{text!r} is no value: {error}"
        raise ValueError(message) from None


def _value(node: ast.expr, *, nested: bool = True) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name) and (nested or node.id in _NAMES):
        return _NAMES.get(node.id, node.id)
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        made = [_value(item) for item in node.elts]
        return {ast.List: list, ast.Tuple: tuple, ast.Set: set}[type(node)](made)
    if isinstance(node, ast.Dict) and None not in node.keys:
        return {_value(key): _value(item) for key, item in zip(node.keys, node.values, strict=True) if key is not None}
    if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
        return _UNARY[type(node.op)](_number(node.operand))
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        return _bounded(node.op, _number(node.left), _number(node.right))
    message = f"{ast.unparse(node)!r} is neither a literal nor simple arithmetic"
    raise ValueError(message)


def _number(node: ast.expr) -> float:
    value = _value(node, nested=False)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    message = f"{ast.unparse(node)!r} is no number"
    raise ValueError(message)


def _bounded(operation: ast.operator, left: float, right: float) -> Any:
    """Calculate, unless whole numbers would grow beyond all use."""
    if isinstance(left, int) and isinstance(right, int) and isinstance(operation, ast.Pow | ast.Mult):
        bits = left.bit_length() * right if isinstance(operation, ast.Pow) else left.bit_length() + right.bit_length()
        if bits > _MOST_BITS:
            message = "the result is too large"
            raise ValueError(message)
    result = _BINARY[type(operation)](left, right)
    if isinstance(result, int | float):
        return result
    message = "the result is no real number"
    raise ValueError(message)
