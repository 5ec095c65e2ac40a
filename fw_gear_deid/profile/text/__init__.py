"""YAML text → nodes that know their place, and every problem in it."""
