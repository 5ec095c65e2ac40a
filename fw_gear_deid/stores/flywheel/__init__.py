"""A Flywheel platform ⇄ items and results."""
