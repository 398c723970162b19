"""`Config`: what every strict config can do, whatever its fields are. The class with the fields is made by `decorator`."""

from __future__ import annotations

import copy
import inspect
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from typing_extensions import Self

from shadho_like.configs import plain
from shadho_like.configs.explain import explained
from shadho_like.configs.tree import children, parts, walk
from shadho_like.errors import ConfigError, nearest


class _Required(Enum):
    REQUIRED = "REQUIRED"

    def __repr__(self) -> str:
        return self.value


REQUIRED: Final[Any] = _Required.REQUIRED
"""The default of a field that has none: it must be given before the config is final."""


class Config:
    """A strict config. Not made by itself: `@pydraclass` makes its subclasses from annotated classes.

    A config that is part of another knows where it is, so that an error can name the whole path.
    """

    __slots__ = ("__weakref__", "_above", "_final")
    _above: tuple[weakref.ref[Config], str] | None
    _final: bool

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Make one that is not final and part of nothing yet."""
        if "__pydantic_validator__" not in vars(cls) and inspect.get_annotations(cls):
            raise ConfigError("", f"{cls.__name__} declares fields of its own, so it needs @pydraclass as well")
        config = super().__new__(cls)
        object.__setattr__(config, "_above", None)
        object.__setattr__(config, "_final", False)
        return config

    def custom_finalize(self) -> None:
        """Derive and check what concerns several fields; the configs in this one are final already. Nothing, by default."""

    def finalize(self) -> Self:
        """Make this config and all in it final: complete, checked, and frozen. Doing so again changes nothing.

        Raises:
            ConfigError: fields that need a value have none (all are named), or a config holds itself.
        """
        if not self._final:
            missing = [path + step for path, config in walk(self) for step in _missing(config)]
            if missing:
                raise ConfigError("", f"{type(self).__name__} needs a value for {', '.join(path[1:] for path in missing)}")
            self._finalize_children()
            self.custom_finalize()
            self._finalize_children()
            object.__setattr__(self, "_final", True)
        return self

    def _finalize_children(self) -> None:
        for path, child in children(self):
            try:
                child.finalize()
            except ConfigError as error:
                raise error.beneath(path) from None

    @property
    def finalized(self) -> bool:
        """Whether it is final."""
        return self._final

    def digest(self) -> str:
        """Return 32 hexadecimal digits that are the same for equal configs, in every process and on every machine.

        Raises:
            ConfigError: it holds something that has no such form; the message names it.
        """
        return plain.digest(self)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that YAML and, where keys are text, JSON can hold; `from_dict` makes an equal config of it.

        Raises:
            ConfigError: it holds something that has no plain form; the message names it.
        """
        return plain.to_dict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Make a config of what `to_dict` gave.

        Raises:
            ConfigError: an unknown name or a wrong value.
        """
        return plain.from_dict(cls, value)

    def save_yaml(self, path: str | Path) -> None:
        """Write it to a file, whole or not at all."""
        plain.save_yaml(self, Path(path))

    @classmethod
    def from_yaml(cls, path: str | Path) -> Self:
        """Read a config from a file.

        Raises:
            ConfigError: no such file, no YAML, an unknown name or a wrong value.
        """
        return plain.from_yaml(cls, Path(path))

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a declared field to a value of its type."""
        kind = type(self)
        if name not in declared(kind):
            if hasattr(getattr(kind, name, None), "__set__"):
                object.__setattr__(self, name, value)
                return
            raise ConfigError(f"{self._where()}.{name}", unknown(kind, name))
        if self._final:
            way_out = "copy.deepcopy(config) gives one that can be changed"
            raise ConfigError(f"{self._where()}.{name}", f"this {kind.__name__} is final and cannot be changed: {way_out}")
        try:
            kind.__pydantic_validator__.validate_assignment(self, name, value)  # type: ignore[attr-defined]
        except ValidationError as error:
            raise explained(error, kind, {name: value}).beneath(self._where()) from None
        self._adopt(name)

    def __delattr__(self, name: str) -> None:
        """Refuse: a config has all its fields, always."""
        raise ConfigError(f"{self._where()}.{name}", "fields of a config cannot be deleted")

    def _adopt(self, name: str) -> None:
        """Tell the configs in a field where they are now."""
        for step, child in parts(getattr(self, name), f".{name}"):
            object.__setattr__(child, "_above", (weakref.ref(self), step))

    def _where(self) -> str:
        """Return the path to this config from the outermost one that holds it."""
        config: Config | None = self
        steps: list[str] = []
        while config is not None and config._above is not None and len(steps) < _DEEPEST:
            parent, step = config._above
            steps.append(step)
            config = parent()
        return "".join(reversed(steps))

    def __getstate__(self) -> dict[str, Any]:
        return {"fields": dict(vars(self)), "final": self._final}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state["fields"])
        object.__setattr__(self, "_above", None)
        object.__setattr__(self, "_final", state["final"])
        for name in declared(type(self)):
            self._adopt(name)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return a copy that can be changed, also where this one is final."""
        twin = Config.__new__(type(self))
        memo[id(self)] = twin
        vars(twin).update((name, copy.deepcopy(value, memo)) for name, value in vars(self).items())
        for name in declared(type(self)):
            twin._adopt(name)
        return twin


_DEEPEST = 1000


def declared(kind: type[Config]) -> tuple[str, ...]:
    """Return the names of a config's fields."""
    return tuple(item.name for item in fields(kind))  # type: ignore[arg-type]


def unknown(kind: type[Config], name: str) -> str:
    """Return what is to be said about a name that a config does not declare."""
    return f"{kind.__name__} has no field {name!r}: {nearest(name, declared(kind))}"


def _missing(config: Config) -> Iterator[str]:
    for item in fields(config):  # type: ignore[arg-type]
        if getattr(config, item.name) is REQUIRED:
            yield f".{item.name}"
