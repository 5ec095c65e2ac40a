"""What happened, on record."""
