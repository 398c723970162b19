"""What the source of a config class says about its fields: the comment behind a field, or above it, or the text below."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping
from typing import Any


def comments(kind: type[Any]) -> Mapping[str, str]:
    """Return one line for each field that has a comment, those of base classes among them; none where there is no source."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        found |= _own_comments(base)
    return found


def _own_comments(kind: type[Any]) -> dict[str, str]:
    try:
        source = textwrap.dedent(inspect.getsource(kind))
        body = ast.parse(source).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return {}
    if not isinstance(body, ast.ClassDef):
        return {}
    lines, found = source.splitlines(), {}
    for number, node in enumerate(body.body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            below = body.body[number + 1] if number + 1 < len(body.body) else None
            text = _behind(lines, node) or _above(lines, node) or _text(below)
            if text:
                found[node.target.id] = " ".join(text.split())
    return found


def _behind(lines: list[str], node: ast.AnnAssign) -> str:
    end = node.end_lineno or node.lineno
    rest = lines[end - 1].encode()[node.end_col_offset or 0 :].decode().strip()
    return rest.lstrip("#").strip() if rest.startswith("#") else ""


def _above(lines: list[str], node: ast.AnnAssign) -> str:
    said: list[str] = []
    for line in reversed(lines[: node.lineno - 1]):
        if not line.strip().startswith("#"):
            break
        said.append(line.strip().lstrip("#").strip())
    return " ".join(reversed(said))


def _text(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return node.value.value
    return ""
