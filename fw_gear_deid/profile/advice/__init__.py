"""What a profile leaves in place, told to its author."""
