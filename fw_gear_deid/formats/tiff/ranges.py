"""Sets of bytes of a file, as spans from where to where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

Span = tuple[int, int]
"""First byte, and the first one behind."""


def union(spans: Iterable[Span]) -> list[Span]:
    """Return the bytes of any span, in order, as few spans.

    >>> union([(4, 6), (0, 2), (1, 3), (6, 7), (9, 9)])
    [(0, 3), (4, 7)]
    """
    found: list[Span] = []
    for start, end in sorted(spans):
        if start >= end:
            continue
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found


def minus(spans: Sequence[Span], others: Sequence[Span]) -> list[Span]:
    """Return the bytes of spans that are in no other; both as ``union`` makes them.

    >>> minus([(0, 10), (20, 30)], [(2, 3), (5, 22)])
    [(0, 2), (3, 5), (22, 30)]
    """
    found: list[Span] = []
    at = 0
    for start, end in spans:
        while at < len(others) and others[at][1] <= start:
            at += 1
        here = at
        while here < len(others) and others[here][0] < end:
            if others[here][0] > start:
                found.append((start, others[here][0]))
            start = max(start, others[here][1])
            here += 1
        if start < end:
            found.append((start, end))
    return found


def meet(spans: Sequence[Span], others: Sequence[Span]) -> bool:
    """Tell whether a byte is in both; both as ``union`` makes them."""
    return minus(spans, others) != list(spans)


def crowded(spans: Iterable[Span]) -> set[Span]:
    """Return the spans that share bytes with another, different or not.

    >>> sorted(crowded([(0, 4), (2, 3), (4, 6), (8, 9), (8, 9)]))
    [(0, 4), (2, 3), (8, 9)]
    """
    found: set[Span] = set()
    last: Span | None = None
    for one in sorted(spans):
        if one[0] >= one[1]:
            continue
        if last is not None and one[0] < last[1]:
            found |= {one, last}
        if last is None or one[1] > last[1]:
            last = one
    return found


def not_blank(data: bytes, spans: Iterable[Span]) -> Iterator[Span]:
    """Yield the spans in which something else than zeros stands."""
    for start, end in spans:
        if data.count(0, start, end) != end - start:
            yield start, end
