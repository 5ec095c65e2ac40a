"""Private elements that are known to be safe (PS3.15 Table E.3.10-1): none in this version."""


def is_safe(creator: str, group: int, element: int) -> bool:
    """Tell whether an element of a creator may stay, its values cleaned."""
    return False
