"""Variables, mapping tables and pseudonyms: a name → its value for a person."""
