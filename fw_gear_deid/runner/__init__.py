"""Every source file, one after the other or side by side."""
