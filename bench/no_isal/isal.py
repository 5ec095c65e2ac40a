"""Stands before the real one on the path of a run that is to do without."""

raise ImportError("isal is hidden from this run")
