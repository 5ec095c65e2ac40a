"""Frozen dataclasses with slots that are quickly made.

``dataclass(frozen=True, slots=True)`` compiles six methods of each class whenever the program starts; with a hundred
classes that was a fifth of what a small file cost. Here the constructor alone is compiled, and that when the first
object is made; what else there is works for any class. ``fields``, ``replace`` and ``asdict`` take them as their own.
"""

from __future__ import annotations

from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform

Class = TypeVar("Class", bound=type)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: Class) -> Class:
    """Make a class what ``dataclass(frozen=True, slots=True)`` makes of it.

    >>> @frozen
    ... class Place:
    ...     tag: int
    ...     index: int = 0
    >>> Place(1), Place(1) == Place(1, 0)
    (Place(tag=1, index=0), True)
    """
    made: Any = dataclass(init=False, repr=False, eq=False, slots=True)(cls)
    if hasattr(cls, "__post_init__") or not all(one.init and not one.kw_only for one in fields(made)):
        raise TypeError(f"{cls.__name__} is not made of its fields alone: it needs a dataclass")
    # with the class, since of one name alone it would get no tuple, and of none nothing
    compared = attrgetter("__class__", *(one.name for one in fields(made) if one.compare))

    def eq(self: object, other: object) -> bool:
        return compared(self) == compared(other) if other.__class__ is self.__class__ else NotImplemented

    def hashed(self: object) -> int:
        return hash(compared(self))

    for name, method in {**_METHODS, "__eq__": eq, "__hash__": hashed}.items():
        if name not in vars(cls):
            setattr(made, name, method)
    return made  # type: ignore[no-any-return]


def _init(self: Any, *values: object, **named: object) -> None:
    """Compile the constructor of a class, which is called from then on."""
    cls = type(self)
    known: dict[str, Any] = {"_set_field": object.__setattr__, "_missing": MISSING}
    parameters, body = ["self"], ["pass"]
    for one in fields(cls):
        parameter, value = one.name, one.name
        if one.default is not MISSING:
            known[f"_default_{one.name}"] = one.default
            parameter += f"=_default_{one.name}"
        elif one.default_factory is not MISSING:
            known[f"_make_{one.name}"] = one.default_factory
            parameter += "=_missing"
            value = f"_make_{one.name}() if {one.name} is _missing else {one.name}"
        parameters.append(parameter)
        body.append(f"_set_field(self, {one.name!r}, {value})")
    exec(f"def __init__({', '.join(parameters)}): {'; '.join(body)}", known)  # noqa: S102 -- as dataclasses do
    cls.__init__ = known["__init__"]
    cls.__init__(self, *values, **named)


def _repr(self: Any) -> str:
    shown = ", ".join(f"{one.name}={getattr(self, one.name)!r}" for one in fields(self) if one.repr)
    return f"{type(self).__qualname__}({shown})"


def _setattr(self: object, name: str, value: object) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _delattr(self: object, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _getstate(self: Any) -> list[object]:
    return [getattr(self, one.name) for one in fields(self)]


def _setstate(self: Any, state: list[object]) -> None:
    for one, value in zip(fields(self), state, strict=True):
        object.__setattr__(self, one.name, value)


_METHODS = {
    "__init__": _init,
    "__repr__": _repr,
    "__setattr__": _setattr,
    "__delattr__": _delattr,
    "__getstate__": _getstate,
    "__setstate__": _setstate,
}
