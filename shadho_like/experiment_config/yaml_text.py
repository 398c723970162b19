"""YAML text as plain data, with the line of each value and everything that is wrong with the text; and plain data as YAML text. Knows
no key of a configuration.

Scalars are read as YAML 1.2 has them, which is how Determined reads them too: `1e-3` is a number, `no` and `4:00:00` are texts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from shadho_like.experiment_config.plain import DEEPEST, MOST_VALUES, TOO_DEEP, TOO_MANY, Fault, beneath

LARGEST_TEXT = 1024 * 1024
"""In characters."""

_TAG = "tag:yaml.org,2002:"
_UNTAGGED = "untagged"
_MERGE = "<<"
_NUMBERS = {"int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"}
_PLAIN = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    **_NUMBERS,
}
_ODD_FLOATS = {".inf": float("inf"), "+.inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan")}


class _Loader(yaml.SafeLoader):
    """PyYAML's, but what a scalar without a tag and without quotes is, is decided here."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        plain = kind is yaml.ScalarNode and implicit[0]
        return _UNTAGGED if plain else str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]


class _Dumper(yaml.SafeDumper):
    """PyYAML's, but a text that the loader would not give back as it is, is in quotes."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Return the node of a text."""
        taken = data.lower() in _ODD_FLOATS or any(re.fullmatch(form, data) for form in _PLAIN.values())
        odd = not data.replace("\n", "").isprintable()
        return self.represent_scalar(_TAG + "str", data, style='"' if odd else "'" if taken else None)


_Dumper.add_representer(str, _Dumper.represent_str)


@dataclass(slots=True)
class Document:
    """What a text holds.

    Attributes:
        value: as plain data; None where the text is no YAML.
        lines: where each value stands, by its path.
        numbers: how each number is written, by its path.
        faults: what is wrong with the text itself.
    """

    value: Any = None
    lines: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def read_yaml(text: str) -> Document:
    """Return what a text holds. Aliases are copied out, within bounds."""
    document = Document()
    if len(text) > LARGEST_TEXT:
        document.faults.append(Fault("", f"is larger than {LARGEST_TEXT} characters", 1))
        return document
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None:
            document.lines[""] = node.start_mark.line + 1
            document.value = _Reader(document).read(node, "", 0)
    except yaml.YAMLError as error:
        document.faults.append(_syntax(error))
    except RecursionError:
        line = loader.line + 1 if loader is not None else 1
        document.faults.append(Fault("", TOO_DEEP, line))
    except _TooMany:
        document.faults.append(Fault("", TOO_MANY, 1))
    return document


def write_yaml(value: Any) -> str:
    """Return plain data as a text that `read_yaml` reads as the same."""
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True))


def _syntax(error: yaml.YAMLError) -> Fault:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    said = ", ".join(filter(None, (getattr(error, "context", None), getattr(error, "problem", None)))) or str(error)
    return Fault("", f"is no YAML: {' '.join(said.split())}", mark.line + 1 if mark is not None else 1)


class _TooMany(Exception):
    """There are more values than any configuration has."""


class _Reader:
    """Turns nodes into values, one path after the other."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._count = 0
        self._open: set[int] = set()

    def read(self, node: yaml.Node, path: str, depth: int) -> Any:
        self._count += 1
        if self._count > MOST_VALUES:
            raise _TooMany
        if id(node) in self._open:
            self._say(path, node, "holds itself")
            return None
        if depth > DEEPEST:
            self._say(path, node, TOO_DEEP)
            return None
        self._open.add(id(node))
        try:
            return self._value(node, path, depth)
        finally:
            self._open.discard(id(node))

    def _value(self, node: yaml.Node, path: str, depth: int) -> Any:
        if isinstance(node, yaml.MappingNode) and self._is_plain(node, path, "map"):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode) and self._is_plain(node, path, "seq"):
            value = []
            for index, item in enumerate(node.value):
                self._document.lines[beneath(path, index)] = item.start_mark.line + 1
                value.append(self.read(item, beneath(path, index), depth + 1))
            return value
        return self._scalar(node, path) if isinstance(node, yaml.ScalarNode) else None

    def _is_plain(self, node: yaml.Node, path: str, kind: str) -> bool:
        if node.tag in {_TAG + kind, "!"}:
            return True
        self._say(path, node, f"the tag {_shown(node.tag)} is not taken: leave it out")
        return False

    def _mapping(self, node: yaml.MappingNode, path: str, depth: int) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            if key is None:
                continue
            if key == _MERGE and key_node.tag == _UNTAGGED:
                merged = {**self._merged(key_node, value_node, path, depth), **merged}
                continue
            inner = beneath(path, key)
            if key in own:
                first = self._document.lines[inner]
                self._say(inner, key_node, f"is there twice: first in line {first}")
                continue
            self._document.lines[inner] = key_node.start_mark.line + 1
            own[key] = self.read(value_node, inner, depth + 1)
        return {**{key: value for key, value in merged.items() if key not in own}, **own}

    def _key(self, node: yaml.Node, path: str) -> str | None:
        key = self._scalar(node, path) if isinstance(node, yaml.ScalarNode) else node.value
        if isinstance(key, str):
            return key
        shown = repr(key) if isinstance(node, yaml.ScalarNode) else "a list or mapping"
        self._say(path, node, f"the key {shown:.80} is no text: put it in quotes")
        return None

    def _merged(self, key: yaml.Node, node: yaml.Node, path: str, depth: int) -> dict[str, Any]:
        """Return what `<<` brings: of several mappings, the first that has a key; what is known of the mapping's own stays."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        found: dict[str, Any] = {}
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                self._say(path, key, "<< takes a mapping or a list of mappings")
                return found
            lines, numbers = dict(self._document.lines), dict(self._document.numbers)
            brought = self.read(source, path, depth + 1) or {}
            self._document.lines.update(lines)
            self._document.numbers.update(numbers)
            found = {**brought, **found}
        return found

    def _scalar(self, node: yaml.ScalarNode, path: str) -> Any:
        text, tag = node.value, node.tag
        if tag == _UNTAGGED:
            return self._resolved(node, path)
        kind = tag[len(_TAG) :] if tag.startswith(_TAG) else ""
        if kind == "str" or tag == "!":
            return text
        if kind in _PLAIN and (re.fullmatch(_PLAIN[kind], text) or (kind == "float" and text.lower() in _ODD_FLOATS)):
            return self._made(node, kind, path)
        self._say(path, node, f"the tag {_shown(tag)} is not taken for {text!r:.40}: leave it out")
        return None

    def _resolved(self, node: yaml.ScalarNode, path: str) -> Any:
        if node.value.lower() in _ODD_FLOATS:
            return self._made(node, "float", path)
        for kind, form in _PLAIN.items():
            if re.fullmatch(form, node.value):
                return self._made(node, kind, path)
        return node.value

    def _made(self, node: yaml.ScalarNode, kind: str, path: str) -> Any:
        text = node.value
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        self._document.numbers[path] = text
        if kind == "float":
            return _ODD_FLOATS[text.lower()] if text.lower() in _ODD_FLOATS else float(text)
        try:
            return int(text, 0) if text[1:2] in {"o", "x"} else int(text)
        except ValueError:
            self._say(path, node, f"the number {text[:20]}... is too long")
            return None

    def _say(self, path: str, node: yaml.Node, message: str) -> None:
        self._document.faults.append(Fault(path, message, node.start_mark.line + 1))


def _shown(tag: str) -> str:
    return f"!!{tag[len(_TAG) :]}" if tag.startswith(_TAG) else tag
