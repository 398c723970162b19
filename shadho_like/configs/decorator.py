"""`@pydraclass`: makes a strict config class of an annotated class, as a pydantic dataclass below `Config`."""

from __future__ import annotations

import copy
import functools
import inspect
import sys
import types
from collections.abc import Mapping
from dataclasses import Field, field
from typing import Any, ClassVar, TypeVar, cast, get_origin

from pydantic import ConfigDict, GetCoreSchemaHandler, ValidationError
from pydantic.dataclasses import dataclass, rebuild_dataclass
from typing_extensions import dataclass_transform

from shadho_like.configs.base import REQUIRED, Config, declared, unknown
from shadho_like.configs.explain import explained
from shadho_like.configs.strict import strict_schema
from shadho_like.configs.tree import is_config
from shadho_like.errors import ConfigError

C = TypeVar("C")

_SETTINGS = ConfigDict(extra="forbid", arbitrary_types_allowed=True, validate_default=True)
_METHODS = frozenset(name for name in vars(Config) if not name.startswith("__"))


@dataclass_transform(kw_only_default=True, field_specifiers=(field,))
def pydraclass(cls: type[C]) -> type[C]:
    """Make a strict config class: a dataclass whose names and types are checked whenever a field is set.

    A field without a default is REQUIRED. A default that can be changed (a list, a dict, a config) is copied for each config.
    Every config has a `base_dir`, None unless it is set: the folder of its experiment.

    Raises:
        ConfigError: the class has a method or a field by a name that configs need for themselves.
    """
    frame = sys._getframe(1)
    names = {**frame.f_globals, **frame.f_locals}
    own = _own_annotations(cls)
    _check_names(cls, own)
    made: Any = _below_config(cls, own)
    made.__annotations__ = {name: _resolved(annotation, {**names, cls.__name__: made}) for name, annotation in own.items()}
    _finish(made)
    if not made.__pydantic_complete__:
        rebuild_dataclass(made, raise_errors=False, _types_namespace={**names, cls.__name__: made})
    return cast(type[C], made)


def _own_annotations(cls: type[Any]) -> dict[str, Any]:
    """Return the class's annotations, `base_dir` among them."""
    own = dict(inspect.get_annotations(cls))
    inherited = any("base_dir" in getattr(base, "__dataclass_fields__", {}) for base in cls.__mro__[1:])
    return own if inherited or "base_dir" in own else {**own, "base_dir": "str | None"}


def _check_names(cls: type[Any], own: Mapping[str, Any]) -> None:
    if "finalize" in vars(cls):
        raise ConfigError("", f"{cls.__name__} defines finalize, which configs have already: rename it to custom_finalize")
    for name in own:
        if name in _METHODS:
            raise ConfigError(f".{name}", f"{cls.__name__} declares a field by the name of a method that configs have: rename it")


def _below_config(cls: type[Any], own: Mapping[str, Any]) -> Any:
    """Return the class made anew with `Config` among its bases and every field with a default."""
    namespace = {name: value for name, value in vars(cls).items() if name not in {"__dict__", "__weakref__", "__annotate_func__"}}
    namespace |= {name: _default(name, namespace) for name, annotation in own.items() if not _is_class_variable(annotation)}
    bases = tuple(base for base in cls.__bases__ if base is not object)
    if not any(issubclass(base, Config) for base in bases):
        bases = (*bases, Config)
    metaclass: Any = type(cls)
    made = metaclass(cls.__name__, bases, namespace)
    _hand_over(cls, made)
    return made


def _default(name: str, namespace: Mapping[str, Any]) -> Any:
    if name == "base_dir" and name not in namespace:
        return field(default=None, repr=False, kw_only=True, metadata={"implicit": True})
    value = namespace.get(name, REQUIRED)
    if isinstance(value, Field):
        return value
    if isinstance(value, list | dict | set) or is_config(value):
        return field(default_factory=lambda: copy.deepcopy(value))
    return value


def _is_class_variable(annotation: Any) -> bool:
    if isinstance(annotation, str):
        return annotation.replace(" ", "").startswith(("ClassVar", "typing.ClassVar"))
    return annotation is ClassVar or get_origin(annotation) is ClassVar


def _hand_over(cls: type[Any], made: type[Any]) -> None:
    """Let `super()` in the methods mean the new class: they share a cell that holds the old one."""
    for value in vars(made).values():
        function = getattr(value, "__func__", None) or getattr(value, "fget", None) or value
        if isinstance(function, types.FunctionType):
            for cell in function.__closure__ or ():
                if cell.cell_contents is cls:
                    cell.cell_contents = made
                    return


def _resolved(annotation: Any, names: dict[str, Any]) -> Any:
    """Return what an annotation's text means where the class stands; a name that is not there yet is left for later."""
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, names)
    except Exception:
        return annotation


def _finish(made: Any) -> None:
    """Turn the class into a pydantic dataclass that checks as we do."""
    made.__get_pydantic_core_schema__ = classmethod(_schema)
    after = vars(made).get("__post_init__")

    def __post_init__(self: Config, *args: Any) -> None:  # noqa: N807
        if after is not None:
            after(self, *args)
        for name in declared(type(self)):
            self._adopt(name)

    made.__post_init__ = __post_init__
    dataclass(made, config=_SETTINGS)
    checked_init = made.__init__

    @functools.wraps(checked_init)
    def __init__(self: Config, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        for name in kwargs:
            if name not in declared(type(self)):
                raise ConfigError(f".{name}", unknown(type(self), name))
        try:
            checked_init(self, *args, **kwargs)
        except ValidationError as error:
            raise explained(error, type(self), {**dict(zip(declared(type(self)), args, strict=False)), **kwargs}) from None

    made.__init__ = __init__


def _schema(_: Any, source: Any, handler: GetCoreSchemaHandler) -> Any:
    return strict_schema(handler(source))
