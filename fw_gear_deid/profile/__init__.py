"""The profile language: text → problems or a compiled profile."""
