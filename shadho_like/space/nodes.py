"""The tree of a search space: leaves that hold a domain, and the nodes that put values together. Pure."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shadho_like.errors import SpaceError
from shadho_like.space.domain import Domain
from shadho_like.space.domains import Exhaustive

ABSENT: Any = type("Absent", (), {"__repr__": lambda _: "absent"})()
"""What an optional scope gives when it is left out."""

Choose = Callable[[str, int | None, bool], float]
"""See `Draws`."""


@dataclass(slots=True)
class Draws:
    """Where a sample's numbers come from: a generator's `random`, and the trial's number for the exhaustive domains.

    With `choose`, every number comes from it instead: given what it decides (a path, with a mark behind it where that is no domain),
    the number of equally likely outcomes (None for a continuous one) and whether they are in an order, it returns a number in 0..1,
    1 excluded.
    """

    random: Callable[[], float]
    number: int
    later: list[tuple[dict[str, Any], str, Dependent]] = field(default_factory=list)
    choose: Choose | None = None

    def decide(self, path: str, outcomes: int, *, ordered: bool = False) -> float:
        """Return a number for a choice of the tree's own."""
        return self.random() if self.choose is None else self.choose(path, outcomes, ordered)


class Node(ABC):
    """A part of the tree. `path` is its dotted path from the root."""

    path: str

    @abstractmethod
    def draw(self, draws: Draws) -> Any:
        """Return a value, or ABSENT."""

    @abstractmethod
    def check(self, value: Any) -> None:
        """Raise SpaceError naming the first thing in `value` that no draw can give."""

    @abstractmethod
    def alternatives(self) -> Iterator[tuple[tuple[str, ...], dict[str, Domain]]]:
        """Yield, for each way to make all choices, the paths chosen and the domains that are active."""

    @abstractmethod
    def chosen(self, value: Any) -> tuple[str, ...]:
        """Return the paths that `value` shows to have been chosen."""

    @abstractmethod
    def grid_size(self, count: int | None) -> int:
        """Return the number of grid points; raise SpaceError where a domain needs a count."""

    @abstractmethod
    def grid_point(self, index: int, count: int | None, draws: Draws) -> Any:
        """Return a grid point."""

    @abstractmethod
    def vary(self, value: Any, change: Callable[[Domain, Any], Any], draws: Draws) -> Any:
        """Return `value` with every domain's value changed."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return the plain form."""


class Leaf(Node):
    """One domain."""

    def __init__(self, path: str, domain: Domain) -> None:
        self.path, self.domain = path, domain
        self._exhaustive = isinstance(domain, Exhaustive)

    def draw(self, draws: Draws) -> Any:
        """Return a value of the domain."""
        if self._exhaustive:
            values = self.domain.values() or ()
            draws.number, index = divmod(draws.number, len(values))
            return values[index]
        if draws.choose is None:
            return self.domain.quantile(draws.random())
        return self.domain.quantile(draws.choose(self.path, self.domain.outcomes(), self.domain.ordered))

    def check(self, value: Any) -> None:
        """Raise SpaceError where the domain has no such value."""
        if not self.domain.contains(value):
            described = f"{self.domain.kind}({', '.join(f'{k}={v!r}' for k, v in self.domain.arguments().items())})"
            message = f"{value!r} is not a value of {described}"
            raise SpaceError(self.path, message)

    def alternatives(self) -> Iterator[tuple[tuple[str, ...], dict[str, Domain]]]:
        """Yield the one there is."""
        yield (), {self.path: self.domain}

    def chosen(self, value: Any) -> tuple[str, ...]:
        """Return nothing: a domain leaves no choice of others."""
        return ()

    def grid_size(self, count: int | None) -> int:
        """Return the number of the domain's grid points."""
        return len(self._grid(count))

    def grid_point(self, index: int, count: int | None, draws: Draws) -> Any:
        """Return a grid point of the domain."""
        return self._grid(count)[index]

    def _grid(self, count: int | None) -> Sequence[Any]:
        grid = self.domain.grid(count)
        if grid is None:
            message = f"a grid over {self.domain.kind} needs to know how many points: {self.domain.kind}(..., count=5)"
            raise SpaceError(self.path, message)
        return grid

    def vary(self, value: Any, change: Callable[[Domain, Any], Any], draws: Draws) -> Any:
        """Return the changed value."""
        return change(self.domain, value)

    def to_json(self) -> dict[str, Any]:
        """Return the domain's name and arguments."""
        return {"type": self.domain.kind, **self.domain.arguments()}


class Group(Node):
    """A dict: all of its children, exactly one of them, or all or nothing."""

    def __init__(self, path: str, children: Mapping[str, Node], *, exclusive: bool, optional: bool) -> None:
        self.path = path
        self.children = {name: children[name] for name in sorted(children)}
        self.exclusive, self.optional = exclusive, optional
        self._items = list(self.children.items())

    def draw(self, draws: Draws) -> Any:
        """Return a dict, or ABSENT half of the time where the group is optional."""
        if self.optional and draws.decide(f"{self.path}?", 2) < 0.5:
            return ABSENT
        items = self._items
        if self.exclusive:
            items = [items[int(draws.decide(f"{self.path}|", len(items)) * len(items))]]
        return self._put_together(draws, ((name, child, child.draw(draws)) for name, child in items))

    @staticmethod
    def _put_together(draws: Draws, parts: Iterable[tuple[str, Node, Any]]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, child, value in parts:
            if isinstance(child, Dependent):
                draws.later.append((values, name, child))
            if value is not ABSENT:
                values[name] = value
        return values

    def check(self, value: Any) -> None:
        """Raise SpaceError for the first child that is wrong, unknown or missing."""
        if value is ABSENT and self.optional:
            return
        if not isinstance(value, dict):
            message = f"a dict is needed, not {value!r}" if value is not ABSENT else "it is missing"
            raise SpaceError(self.path, message)
        for name in value:
            if name not in self.children:
                raise SpaceError(_join(self.path, str(name)), "the space has no such hyperparameter")
        if self.exclusive and len(value) != 1 and not (len(value) == 0 and self._absent_child()):
            message = f"exactly one of {', '.join(self.children)} is needed, not {len(value)}"
            raise SpaceError(self.path, message)
        for name, child in self._items:
            if name in value or not self.exclusive:
                _check_child(child, value.get(name, ABSENT))

    def alternatives(self) -> Iterator[tuple[tuple[str, ...], dict[str, Domain]]]:
        """Yield the children's alternatives: one child's after another's, or every combination."""
        if self.optional:
            yield (f"no {self.path}",), {}
        if self.exclusive:
            for child in self.children.values():
                for chosen, domains in child.alternatives():
                    yield (child.path, *chosen), domains
            return
        yield from _combined(list(self.children.values()))

    def chosen(self, value: Any) -> tuple[str, ...]:
        """Return the children that were chosen, here and below."""
        if value is ABSENT:
            return (f"no {self.path}",)
        parts: list[str] = []
        if self.exclusive and not value and (absent := self._absent_child()):
            return (absent.path, f"no {absent.path}")
        for name, child in self._items:
            if self.exclusive and name in value:
                parts.append(child.path)
            if name in value or (not self.exclusive and isinstance(child, Group) and child.optional):
                parts.extend(child.chosen(value.get(name, ABSENT)))
        return tuple(parts)

    def _absent_child(self) -> Node | None:
        """Return the first child that may be the chosen one and absent all the same."""
        return next((child for child in self.children.values() if isinstance(child, Group) and child.optional), None)

    def grid_size(self, count: int | None) -> int:
        """Return the sum or the product of the children's, and one more where the group may be absent."""
        sizes = [child.grid_size(count) for child in self.children.values()]
        return (sum(sizes) if self.exclusive else math.prod(sizes)) + self.optional

    def grid_point(self, index: int, count: int | None, draws: Draws) -> Any:
        """Return a grid point; the last child varies fastest, absence comes first."""
        if self.optional:
            if index == 0:
                return ABSENT
            index -= 1
        if self.exclusive:
            for name, child in self._items:
                size = child.grid_size(count)
                if index < size:
                    return self._put_together(draws, [(name, child, child.grid_point(index, count, draws))])
                index -= size
        parts: list[tuple[str, Node, Any]] = []
        for name, child in reversed(self._items):
            index, place = divmod(index, child.grid_size(count))
            parts.append((name, child, child.grid_point(place, count, draws)))
        return self._put_together(draws, reversed(parts))

    def vary(self, value: Any, change: Callable[[Domain, Any], Any], draws: Draws) -> Any:
        """Return the dict with the same children changed."""
        items = [(name, child) for name, child in self._items if name in value]
        return self._put_together(draws, ((name, child, child.vary(value[name], change, draws)) for name, child in items))

    def to_json(self) -> dict[str, Any]:
        """Return the children and what kind of group it is."""
        domains = {name: child.to_json() for name, child in self._items}
        return {"type": "scope", "exclusive": self.exclusive, "optional": self.optional, "domains": domains}


class Listed(Node):
    """A list: one draw of each of its children, or the first 1 to n of them."""

    def __init__(self, path: str, children: Sequence[Node], *, repeat: bool) -> None:
        self.path, self.children, self.repeat = path, list(children), repeat

    def draw(self, draws: Draws) -> Any:
        """Return a list."""
        lengths = len(self.children)
        length = 1 + int(draws.decide(f"{self.path}#", lengths, ordered=True) * lengths) if self.repeat else lengths
        return [child.draw(draws) for child in self.children[:length]]

    def check(self, value: Any) -> None:
        """Raise SpaceError for the first item that is wrong."""
        lengths = range(1, len(self.children) + 1) if self.repeat else [len(self.children)]
        if not isinstance(value, list) or len(value) not in lengths:
            message = f"a list of {lengths[0]}{f' to {lengths[-1]}' if self.repeat else ''} values is needed, not {value!r}"
            raise SpaceError(self.path, message)
        for child, item in zip(self.children, value, strict=False):
            child.check(item)

    def alternatives(self) -> Iterator[tuple[tuple[str, ...], dict[str, Domain]]]:
        """Yield every combination of the items' alternatives."""
        return _combined(self.children)

    def chosen(self, value: Any) -> tuple[str, ...]:
        """Return what was chosen in the items; those that were not drawn stand at their first alternative."""
        drawn = [part for child, item in zip(self.children, value, strict=False) for part in child.chosen(item)]
        rest = [part for child in self.children[len(value) :] for part in next(child.alternatives())[0]]
        return (*drawn, *rest)

    def grid_size(self, count: int | None) -> int:
        """Return the product of the items' sizes, summed over the lengths."""
        sizes = [child.grid_size(count) for child in self.children]
        lengths = range(1, len(sizes) + 1) if self.repeat else [len(sizes)]
        return sum(math.prod(sizes[:length]) for length in lengths)

    def grid_point(self, index: int, count: int | None, draws: Draws) -> Any:
        """Return a grid point; shorter lists come first, the last item varies fastest."""
        length = 1 if self.repeat else len(self.children)
        while (size := math.prod(child.grid_size(count) for child in self.children[:length])) <= index:
            index -= size
            length += 1
        values: list[Any] = []
        for child in reversed(self.children[:length]):
            index, place = divmod(index, child.grid_size(count))
            values.append(child.grid_point(place, count, draws))
        return values[::-1]

    def vary(self, value: Any, change: Callable[[Domain, Any], Any], draws: Draws) -> Any:
        """Return the same items changed."""
        return [child.vary(item, change, draws) for child, item in zip(self.children, value, strict=False)]

    def to_json(self) -> dict[str, Any]:
        """Return the items."""
        if self.repeat:
            return {"type": "repeat", "domain": self.children[0].to_json(), "n": len(self.children)}
        return {"type": "sequential", "domains": [child.to_json() for child in self.children]}


class Dependent(Node):
    """A value computed from the others once they are drawn."""

    def __init__(self, path: str, inner: Node | None, callback: Callable[..., Any]) -> None:
        self.path, self.inner, self.callback = path, inner, callback

    def draw(self, draws: Draws) -> Any:
        """Return the draw that the callback will be given first, if there is one; the group calls `compute` later."""
        return ABSENT if self.inner is None else self.inner.draw(draws)

    def compute(self, drawn: Any, others: dict[str, Any]) -> Any:
        """Return the callback's value.

        Raises:
            SpaceError: the callback raised, or gave no JSON value.
        """
        try:
            value = self.callback(others) if self.inner is None else self.callback(drawn, others)
            json.dumps(value, allow_nan=False)
        except Exception as error:
            message = f"its callback {_name_of(self.callback)} failed: {type(error).__name__}: {error}"
            raise SpaceError(self.path, message) from error
        return value

    def check(self, value: Any) -> None:
        """Raise SpaceError where it is missing; any value may come from a callback."""
        if value is ABSENT:
            raise SpaceError(self.path, "it is missing")

    def alternatives(self) -> Iterator[tuple[tuple[str, ...], dict[str, Domain]]]:
        """Yield the inner domain's alternatives."""
        return iter([((), {})]) if self.inner is None else self.inner.alternatives()

    def chosen(self, value: Any) -> tuple[str, ...]:
        """Return nothing: what was drawn cannot be told from what was computed."""
        return ()

    def grid_size(self, count: int | None) -> int:
        """Return the inner domain's size."""
        return 1 if self.inner is None else self.inner.grid_size(count)

    def grid_point(self, index: int, count: int | None, draws: Draws) -> Any:
        """Return the inner domain's grid point; the group calls `compute` later."""
        return ABSENT if self.inner is None else self.inner.grid_point(index, count, draws)

    def vary(self, value: Any, change: Callable[[Domain, Any], Any], draws: Draws) -> Any:
        """Return another draw of the inner domain, which cannot be told from what was computed."""
        return self.draw(draws)

    def to_json(self) -> dict[str, Any]:
        """Return the inner domain and where the callback is defined."""
        inner = None if self.inner is None else self.inner.to_json()
        return {"type": "dependent", "domain": inner, "callback": _name_of(self.callback)}


def _check_child(child: Node, value: Any) -> None:
    if value is ABSENT and not isinstance(child, Group):
        raise SpaceError(child.path, "it is missing")
    child.check(value)


def _combined(children: Sequence[Node]) -> Iterator[tuple[tuple[str, ...], dict[str, Domain]]]:
    if not children:
        yield (), {}
        return
    for chosen, domains in children[0].alternatives():
        for more, others in _combined(children[1:]):
            yield (*chosen, *more), {**domains, **others}


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _name_of(callback: Callable[..., Any]) -> str:
    return f"{callback.__module__}:{getattr(callback, '__qualname__', type(callback).__qualname__)}"
