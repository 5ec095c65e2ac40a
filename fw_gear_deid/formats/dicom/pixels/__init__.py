"""Pixels of DICOM images: how they lie in the bytes, what is put over them, frames that are decoded and encoded."""
