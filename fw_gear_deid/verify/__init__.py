"""Checks that run on every result before it may leave."""
