"""Fields of a file and of its result → nothing, or why the result may not leave: for formats that are read whole.

Both were read by the format's second reader. What a rule points at is worked out here anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import zip_longest

from fw_gear_deid.formats.row import NO_NUMBER, NO_VALUE, Changes, Field, Listing
from fw_gear_deid.model.action import CLEANED, DIFFERS, ENDS, EQUALS, GONE, REMOVE, RENAMED, SHIFTED, Gone, Texts
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.selectors import KeyAt, KeysAt
from fw_gear_deid.verify import cleaned, fails
from fw_gear_deid.verify.known import Known
from fw_gear_deid.verify.promises import WANTED
from fw_gear_deid.verify.shapes import is_registered


@frozen
class Held:
    """What a rule promises of the fields that it points at, unless a later one points there; as ``Promise``."""

    selector: KeyAt | KeysAt
    kind: str
    texts: Texts
    label: str


def check(
    source: Listing,
    result: Listing,
    changes: Changes,
    promises: Sequence[Held],
    empty: Callable[[Texts], bool] | None = None,
) -> None:
    """Make sure that a result holds the fields of its source but for what was changed, and that promises are kept.

    Parameters
    ----------
    source, result : Listing
    changes : Changes
        What is said to have been done.
    promises : sequence of Held
        In the order in which the rules ran.
    empty : callable, optional
        As ``Codec.empty``.

    Raises
    ------
    Unfit
    """
    reaching = [(number, held) for held in promises for number in _places(source, held.selector)]
    last, alone = dict(reaching), Counter(number for number, _ in reaching)
    within = _within(source, changes)
    for number, held in last.items():
        if number in within:
            continue  # it went with its group
        if held.kind == SHIFTED and alone[number] > 1:
            continue  # one rule may move to where another one moved from
        one = source.fields[number]
        if not _is_kept(held, one, changes.texts.get(number, one.texts), changes):
            raise fails(f"{held.label}: the field is not {WANTED[held.kind]}")
    there = _without_made(source, result, changes)
    stay = [number for number in range(len(source.fields)) if not isinstance(changes.texts.get(number), Gone)]
    if empty is not None:  # those that go are there still
        there = [number for number in there if not empty(result.fields[number].texts)]
        stay = [number for number in stay if not empty(_should(source, changes, number))]
    if len(there) > len(stay):
        raise fails("the result holds more fields than it should: one stays that goes, or was made by no rule")
    for before, after in zip_longest(stay, there):  # one by one: columns of a table are large
        if after is None or result.fields[after].name != source.fields[before].name:
            raise fails("the result does not hold the fields that it should")
    for before, after in zip(stay, there, strict=True):
        should = changes.texts.get(before, source.fields[before].texts)
        if isinstance(should, Gone) or result.fields[after].texts != changes.left(should):
            who = f"{last[before].label}: " if before in last else ""
            raise fails(f"{who}a field of the result is not what it should be")


def check_cleaned(result: Listing, promises: Sequence[Held], known: Known) -> None:
    """Make sure that no field of a result tells what was taken away that a rule cleans, and no later one changes.

    Raises
    ------
    Unfit
    """
    last = {number: held for held in promises for number in _places(result, held.selector)}
    for number, held in last.items():
        for text in result.fields[number].texts if held.kind == CLEANED else ():
            if told := cleaned.told_by(text, known):
                raise fails(f"{held.label}: {result.fields[number].path} still tells {told}")


def _should(source: Listing, changes: Changes, number: int) -> Texts:
    """Return the texts that a field of the source should have in the result; none where it goes."""
    texts = changes.texts.get(number, source.fields[number].texts)
    return () if isinstance(texts, Gone) else texts


def _within(source: Listing, changes: Changes) -> set[int]:
    """Return the fields in what went, or became a value; all of them must be said to have gone.

    Raises
    ------
    Unfit
    """
    found: set[int] = set()
    for number, texts in changes.texts.items():
        found.update(source.fields[number].inside(number, gone=isinstance(texts, Gone)))
    if any(changes.texts.get(number) is not REMOVE for number in found):
        raise fails("a group goes and a field in it does not")
    return found


def _places(listing: Listing, selector: KeyAt | KeysAt) -> Sequence[int]:
    if isinstance(selector, KeyAt):
        return listing.find(selector.path)
    return [number for number, one in enumerate(listing.fields) if selector.pattern.match(one.name)]


def _is_kept(held: Held, before: Field, now: Texts | Gone, changes: Changes) -> bool:
    if before.cells and not isinstance(now, Gone):
        cell = ",".join(held.texts)
        pairs = zip(changes.left(before.texts), changes.left(now), strict=True)
        if held.kind == EQUALS:
            return all(text == cell for _, text in pairs)
        blank = {"", *(NO_NUMBER if held.kind == SHIFTED else NO_VALUE)}
        differs = held.kind in (DIFFERS, SHIFTED, RENAMED)
        other = (one != two or one.strip() in blank or _may_stay(one, held) for one, two in pairs)
        return held.kind != GONE and (not differs or all(other))
    if held.kind == EQUALS:
        return now == held.texts or (now is REMOVE and held.texts in changes.made.values())
    if held.kind == ENDS:
        return not isinstance(now, Gone) and now[len(now) - len(held.texts) :] == held.texts
    if held.kind == GONE:
        return now is REMOVE
    same = now == before.texts and any(text.strip("\0 \t\r\n") and not _may_stay(text, held) for text in before.texts)
    return held.kind not in (DIFFERS, SHIFTED, RENAMED) or not same


def _may_stay(text: str, held: Held) -> bool:
    """Tell whether a text is a UID of DICOM's own, which what renames UIDs lets stay."""
    return held.kind == RENAMED and is_registered(text.encode("utf-8", "surrogatepass"))


def _stood(source: Listing, name: str, changes: Changes) -> bool:
    """Tell whether a field of a name stands in the source, and stays."""
    return any(changes.texts.get(number) is not REMOVE for number in source.find(name))


def _without_made(source: Listing, result: Listing, changes: Changes) -> list[int]:
    """Return which are the fields of a result but for those that were made."""
    made = {number for name, texts in changes.made.items()
            for number in result.find(name)[-1:] if result.fields[number].texts == changes.left(texts)}  # fmt: skip
    if len(made) < len(changes.made):
        raise fails("the result does not hold what a rule makes")
    for number in (
        range(len(result.fields) - 1, -1, -1) if made else ()
    ):  # groups made to hold them, the innermost first
        one = result.fields[number]
        inside = range(number + 1, number + 1 + one.holds)
        if one.holds > 0 and made.issuperset(inside) and not _stood(source, one.name, changes):
            made.add(number)
    return [number for number in range(len(result.fields)) if number not in made]
