"""Bytes -> text: its encoding, found or given; binary files refused."""

from __future__ import annotations

import codecs
import re

import numpy as np

from goodfit.errors import InputError, option

READABLE = "goodfit reads CSV, TSV, JSON lines, Parquet and .xlsx."
_MAGIC = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF document"),
    (b"\x7fELF", "a program"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x80\x02", "a pickle"),
    (b"\x80\x03", "a pickle"),
    (b"\x80\x04", "a pickle"),
    (b"\x80\x05", "a pickle"),
    (b"ARROW1", "an Arrow file"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word document"),
)
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_FOREIGN = 0.4  # share of bytes beyond ASCII in such words, from which on the alphabet is not Latin
_SINGLE_BYTE = ("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "koi8_r", "mac_roman")
_MULTI_BYTE = ("shift_jis", "euc_jp", "gb18030", "big5", "euc_kr")


def refuse_binary(content: bytes, where: str, encoding: str | None) -> None:
    """Raise `InputError` for what is no text."""
    for magic, what in _MAGIC:
        if content.startswith(magic):
            remedy = "Save it as .xlsx or CSV." if "Excel" in what else READABLE
            raise InputError(f"{where} is a binary file ({what}), not a table.", remedy)
    if encoding is not None or any(content.startswith(bom) for bom, _ in _BOMS):
        return
    head = content[: 1 << 16]
    if b"\x00" in head:
        nulls = np.frombuffer(head[: len(head) // 2 * 2], dtype=np.uint8).reshape(-1, 2) == 0
        if nulls.mean(axis=0).max() > 0.7 and nulls.mean(axis=0).min() < 0.1:
            order = "be" if nulls[:, 0].mean() > 0.7 else "le"
            raise InputError(
                f"{where} seems to be UTF-16 text without its mark.", f"Give {option('encoding', f'utf-16-{order}')}."
            )
        raise InputError(f"{where} is a binary file, not a table.", READABLE)
    control = sum(head.count(bytes([code])) for code in (*range(1, 9), *range(14, 27), *range(28, 32)))
    if control > 0.01 * len(head):
        raise InputError(f"{where} is a binary file, not a table.", READABLE)


def decode(content: bytes, where: str, encoding: str | None) -> tuple[str, list[str]]:
    """The text, and what to say about its encoding."""
    if encoding is not None:
        try:
            name = codecs.lookup(encoding).name
        except LookupError:
            raise InputError(f"there is no encoding {encoding!r}.", "Leave --encoding out to have it found.") from None
        try:
            if name in ("utf-16", "utf-32") and not any(content.startswith(bom) for bom, _ in _BOMS[1:]):
                raise InputError(
                    f"{where} is not {encoding}: it does not begin with the mark of that encoding.",
                    "Leave --encoding out to have it found.",
                )
            return content.decode(encoding).removeprefix("\ufeff"), []
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise InputError(
                f"{where} is not {encoding}: byte {error.start} (line {line}) does not fit.",
                "Leave --encoding out to have it found.",
            ) from None
    for bom, name in _BOMS:
        if content.startswith(bom):
            try:
                return content.decode(name), [] if name == "utf-8-sig" else [f"{where}: the encoding is {name}."]
            except UnicodeDecodeError:
                raise InputError(f"{where} begins like {name} but is not.", "Give --encoding.") from None
    try:
        return content.decode("utf-8"), []
    except UnicodeDecodeError as error:
        name = _guess(content, error.start)
    try:
        text = content.decode(name)
    except UnicodeDecodeError:
        raise InputError(f"the encoding of {where} was not found.", "Give --encoding, such as cp1252.") from None
    return text, [f"{where}: it is not UTF-8; the encoding was taken for {name} (give --encoding where that is wrong)."]


def _guess(content: bytes, first: int) -> str:
    """The likeliest encoding of text that is not UTF-8, from its words that are not ASCII."""
    from charset_normalizer import from_bytes

    sample = content[max(0, first - 20_000) : first + 200_000]
    words = b" ".join(re.findall(rb"[^\s,;\t|\"0-9.:/-]*[\x80-\xff][^\s,;\t|\"0-9]*", sample))
    found = from_bytes(words, cp_isolation=[*_SINGLE_BYTE, *_MULTI_BYTE]).best()
    likely = [] if found is None else [found.encoding]
    if sum(byte >= 0x80 for byte in words) < _FOREIGN * len(words):  # mostly ASCII: a Latin alphabet with accents
        latin = sorted(("cp1252", "cp1250"), key=lambda name: -_letters(words, name))
        likely = [*latin, *likely]
    return next((name for name in [*likely, "cp1252"] if _fits(content, name)), "latin-1")


def _letters(words: bytes, encoding: str) -> int:
    """How many of the characters that are not ASCII are letters."""
    return sum(ord(character) > 127 and character.isalpha() for character in words.decode(encoding, "ignore"))


def _fits(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
