"""Bytes with code extensions → text, by the tables of the standard alone: what was written is read back (PS3.5 §6.1.2).

It shares nothing with the encoder. The default repertoire is ASCII here: a byte above it belongs to no set.
"""

from __future__ import annotations

# Escape sequence → which half of the code table it fills, Python's codec, bytes of a character, PS3.3 Table C.12-3, -4
_SETS = {
    b"\x1b(B": (0, "ascii", 1), b"\x1b(J": (0, "ascii", 1), b"\x1b)I": (1, "shift_jis", 1),
    b"\x1b-A": (1, "latin_1", 1), b"\x1b-B": (1, "iso8859_2", 1), b"\x1b-C": (1, "iso8859_3", 1),
    b"\x1b-D": (1, "iso8859_4", 1), b"\x1b-F": (1, "iso_ir_126", 1), b"\x1b-G": (1, "iso_ir_127", 1),
    b"\x1b-H": (1, "iso_ir_138", 1), b"\x1b-L": (1, "iso_ir_144", 1), b"\x1b-M": (1, "iso_ir_148", 1),
    b"\x1b-T": (1, "iso_ir_166", 1), b"\x1b$B": (0, "euc_jp", 2), b"\x1b$(D": (0, "jis_x_0212", 2),
    b"\x1b$)C": (1, "euc_kr", 2), b"\x1b$)A": (1, "gb2312", 2),
}  # fmt: skip
# Codec of a defined term → that of the upper half when it is the first
_FIRST = {"shift_jis": "shift_jis", "euc_kr": "euc_kr", "iso_ir_58": "gb2312"}
_DOUBLE = frozenset({"euc_kr", "gb2312"})


def read(raw: bytes, first: str, delimiters: bytes) -> str:
    """Return the text of a value.

    Parameters
    ----------
    raw : bytes
    first : str
        Codec of the first character set.
    delimiters : bytes
        What sets back to it.

    Raises
    ------
    UnicodeDecodeError, LookupError
        Some bytes belong to no character set.
    """
    upper = _FIRST.get(first, first if first.startswith(("iso_ir", "iso8859_", "latin")) else "")
    start = ("ascii", 1), (upper, 2 if upper in _DOUBLE else 1)
    halves, out, at = list(start), [], 0
    while at < len(raw):
        if raw[at] == 0x1B:
            escape = next((known for known in _SETS if raw.startswith(known, at)), None)
            if escape is None:
                raise LookupError("escape sequence")
            half, codec, width = _SETS[escape]
            halves[half] = codec, width
            at += len(escape)
            continue
        codec, width = halves[raw[at] >> 7]
        if width == 2 and raw[at] <= 0x20:
            codec, width = "ascii", 1
        char = raw[at : at + width]
        out.append(_decoded(char, codec))
        at += width
        if width == 1 and char in delimiters:
            halves = list(start)
    return "".join(out)


def _decoded(char: bytes, codec: str) -> str:
    if codec == "jis_x_0212":
        return (b"\x8f" + bytes(byte | 0x80 for byte in char)).decode("euc_jp")
    if codec == "euc_jp":
        return bytes(byte | 0x80 for byte in char).decode(codec)
    return char.decode(codec)  # of no codec: LookupError
