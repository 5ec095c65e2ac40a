"""What machines and their file systems differ in: cores, locks, modes, syncs, and paths below a root."""
