"""File formats: bytes → fields → the same bytes with edits."""
