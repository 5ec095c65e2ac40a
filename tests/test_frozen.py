"""``frozen`` makes of a class what ``dataclass(frozen=True, slots=True)`` makes of it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, replace
from typing import Any, ClassVar

import pytest

from fw_gear_deid.model.frozen import frozen


def shape(make: Callable[[type], type]) -> type:
    class Shape:
        """A class of values."""

        kind: ClassVar[str] = "shape"
        name: str
        size: int = 3
        more: Mapping[str, int] = field(default_factory=dict)
        secret: str = field(default="s", repr=False)
        note: str = field(default="", compare=False)

        @property
        def double(self) -> int:
            return self.size * 2

    return make(Shape)


def bare(make: Callable[[type], type]) -> type:
    class Bare:
        """Of no fields."""

        def __repr__(self) -> str:
            return "bare"

    return make(Bare)


@frozen
class Kept:
    """One that can be found by its name, as pickle must."""

    number: float
    text: str = field(default="", repr=False)


Ours, Theirs = shape(frozen), shape(dataclass(frozen=True, slots=True))
GIVEN: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    (("a",), {}),
    (("a", 4), {"note": "n"}),
    ((), {"name": "b", "more": {"x": 1}, "secret": "t"}),
]


@pytest.mark.parametrize(("values", "named"), GIVEN)
def test_objects_are_alike(values: tuple[Any, ...], named: dict[str, Any]) -> None:
    ours, theirs = Ours(*values, **named), Theirs(*values, **named)
    assert repr(ours) == repr(theirs)
    assert asdict(ours) == asdict(theirs)
    assert asdict(replace(ours, size=9)) == asdict(replace(theirs, size=9))
    assert (ours.double, ours.kind) == (theirs.double, theirs.kind)
    assert copy.copy(ours) == ours == copy.deepcopy(ours)


@pytest.mark.parametrize("values", [(), ("a", 1, {}, "s", "n", "one too many")])
def test_what_a_constructor_refuses(values: tuple[Any, ...]) -> None:
    for made in (Ours, Theirs):
        with pytest.raises(TypeError):
            made(*values)
        with pytest.raises(TypeError, match="unexpected keyword"):
            made("a", other=1)


def test_classes_are_alike() -> None:
    assert Ours.__match_args__ == Theirs.__match_args__
    assert Ours.__slots__ == Theirs.__slots__
    assert [(one.name, one.repr, one.compare) for one in fields(Ours)] == [
        (one.name, one.repr, one.compare) for one in fields(Theirs)
    ]
    assert (Ours.__doc__, Ours.__qualname__, Ours.__module__) == (
        Theirs.__doc__,
        Theirs.__qualname__,
        Theirs.__module__,
    )


def test_equality_is_of_fields_in_one_class() -> None:
    for made in (Ours, Theirs):
        assert made("a") == made("a", note="another")
        assert made("a") != made("b")
        assert made("a", secret="x") != made("a")
    assert Ours("a") != Theirs("a")
    assert bare(frozen)() != Ours("a")
    nan = float("nan")
    assert Kept(nan) == Kept(nan)  # the same object, as in a tuple


def test_hashes_are_of_what_is_compared() -> None:
    assert len({Kept(1, "a"), Kept(1, "a"), Kept(2, "a")}) == 2
    assert hash(Ours("a", more=())) == hash(Ours("a", more=(), note="another"))
    with pytest.raises(TypeError, match="unhashable"):
        hash(Ours("a"))


def test_factories_make_each_its_own() -> None:
    assert Ours("a").more is not Ours("a").more


def test_nothing_changes_one() -> None:
    kept = Kept(1)
    for change in (
        lambda: setattr(kept, "number", 2),
        lambda: setattr(kept, "other", 2),
        lambda: delattr(kept, "number"),
    ):
        with pytest.raises(FrozenInstanceError):
            change()
    assert kept == Kept(1)


def test_pickles_come_back_whole() -> None:
    assert pickle.loads(pickle.dumps(Kept(1.5, "x"))) == Kept(1.5, "x")


def test_what_it_cannot_make_is_told() -> None:
    class Later:
        name: str = field(init=False)

    class ByName:
        name: str = field(kw_only=True)

    class Mended:
        name: str

        def __post_init__(self) -> None: ...

    for cls in (Later, ByName, Mended):
        with pytest.raises(TypeError, match=cls.__name__):
            frozen(cls)


def test_fields_may_have_any_name() -> None:
    @frozen
    class Odd:
        set: int
        _set: int = 1
        missing: list[int] = field(default_factory=list)
        _missing_: int = 2

    assert asdict(Odd(0)) == {"set": 0, "_set": 1, "missing": [], "_missing_": 2}


def test_own_methods_stay() -> None:
    assert repr(bare(frozen)()) == "bare"
    made = bare(frozen)
    assert made() == made()
    assert len({made(), made()}) == 1
