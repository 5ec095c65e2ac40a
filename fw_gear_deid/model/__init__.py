"""The types every room speaks in; imports nothing else of ours."""
