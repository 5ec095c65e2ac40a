"""The DICOM codec: bytes → elements → the same bytes with edits spliced in."""
