"""One file per section that has more than fields."""
