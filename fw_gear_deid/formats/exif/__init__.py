"""EXIF blocks (CIPA DC-008, on the directories of TIFF 6.0): fields in them, and edits that leave all else where it is.

``tags`` names, ``values`` bytes ⇄ texts, ``block`` what stands where, ``edit`` a block with changes; ``again`` is the
second reader, which shares nothing but the names.
"""
