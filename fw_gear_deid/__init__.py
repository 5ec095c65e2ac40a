"""De-identification of stored imaging projects: a profile and files in, clean files and an audit out."""

__version__ = "0.1.0"

RESULTS = 1
"""Raised when, and only when, the same source, profile and key give other output bytes than before."""
