"""A dicom section, compiled: for every place of a file the chain of rules there, and what came of it, remembered."""
