"""The standard as data: PS3.15 Table E.1-1, the Types of PS3.3, and how a code of the one is resolved by the other."""
