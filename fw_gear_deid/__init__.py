"""De-identification of stored imaging projects: a profile and files in, clean files and an audit out."""

__version__ = "0.1.0"
