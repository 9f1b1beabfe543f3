"""What bytes that are no UTF-8 are likely to be, and how the file is converted."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SHOWN = 16
"""Characters of the text that are shown as the encoding reads them."""
_LEAST = 3
"""Characters beyond ASCII from which an encoding is told by its script."""
_SHARE = 0.6
"""Of them, how many have to be letters of the script."""


@dataclass(frozen=True, slots=True)
class _Encoding:
    """An encoding: its name in Python and for ``iconv``, and the letters that most texts in it are made of.

    ``common`` are those that more than half of a text in it is made of, where several encodings read the same bytes.
    """

    codec: str
    name: str
    iconv: str
    letters: re.Pattern[str]
    common: str = ""


_KANA, _HANGUL = re.compile("[\u3041-\u3096\u30a1-\u30fc]"), re.compile("[\uac00-\ud7a3]")
_HAN = re.compile("[\u4e00-\u9fff\u3001\u3002\uff0c\uff1f\uff1a\uff01\uff1b\uff08\uff09]")
_CYRILLIC, _GREEK = re.compile("[а-яё]", re.IGNORECASE), re.compile("[α-ωάέήίόύώςΐΰϊϋ]", re.IGNORECASE)
_RUSSIAN = "оеаинтсрвл"
_HEBREW, _ARABIC = re.compile("[א-ת]"), re.compile("[\u0621-\u064a\u067e\u0686\u06a9\u06af\u06cc]")
_JAPANESE = (
    _Encoding("cp932", "Shift-JIS", "CP932", _KANA),
    _Encoding("euc_jp", "EUC-JP", "EUC-JP", _KANA),
)
_OTHERS = (
    _Encoding("cp949", "EUC-KR", "CP949", _HANGUL),
    _Encoding("gbk", "GBK", "GB18030", _HAN),
    _Encoding("big5", "Big5", "BIG5", _HAN),
    _Encoding("cp1251", "Windows-1251", "WINDOWS-1251", _CYRILLIC, _RUSSIAN),
    _Encoding("koi8-r", "KOI8-R", "KOI8-R", _CYRILLIC, _RUSSIAN),
    _Encoding("cp1253", "Windows-1253", "WINDOWS-1253", _GREEK, "αοιετσνηυρ"),
    _Encoding("cp1255", "Windows-1255", "WINDOWS-1255", _HEBREW, "יוהלאתמרבש"),
    _Encoding("cp1256", "Windows-1256", "WINDOWS-1256", _ARABIC, "اليمنتوربة"),
)
_WESTERN = (
    ("cp1252", "Windows-1252", "WINDOWS-1252"),
    ("cp850", "code page 850", "CP850"),
    ("mac_roman", "Mac Roman", "MACINTOSH"),
)
_IN_WORDS = re.compile(r"(?<=[^\W\d_a-zA-Z])[^\x00-\x7f]|[^\x00-\x7f](?=[^\W\d_a-zA-Z])")
_BEYOND = re.compile(rb"[\x80-\xff]")
_COMMON_HAN = {"gbk": re.compile(rb"[\xb0-\xd7][\xa1-\xfe]"), "big5": re.compile(rb"[\xa4-\xc6][\x40-\x7e\xa1-\xfe]")}
"""Of signs of Chinese, the bytes of those in daily use."""


def why_not_utf8(raw: bytes | bytearray, place: int) -> str:
    """Return which byte cannot be decoded, what the text is likely to be in, and what to do.

    Parameters
    ----------
    raw
        A row, or all of a file.
    place
        Of the byte.
    """
    raw = bytes(raw)
    byte = f"its byte {place + 1} (0x{raw[place]:02x}) cannot be decoded"
    told = _told_by_script(raw)
    if told is not None:
        text = raw[place : place + 4 * _SHOWN].decode(told.codec, errors="ignore")
        shown = " ".join(text.split())[:_SHOWN]
        return (
            f"{byte}; in {told.name} it begins {shown!r}. If the file is in that, convert it: `iconv -f {told.iconv} "
            f"-t UTF-8`."
        )
    western = _western(raw, place)
    if western is None:
        return f"{byte}. Write the file as UTF-8."
    meant, name, iconv = western
    return (
        f"{byte}; in {name} it is {meant!r}. If the file is in that, convert it: `iconv -f {iconv} -t "
        f"UTF-8` (spreadsheets: save as CSV UTF-8)."
    )


def _told_by_script(raw: bytes) -> _Encoding | None:
    """Return the encoding whose letters most of a text beyond ASCII is made of; None where there are few of any."""
    found: list[tuple[float, _Encoding]] = []
    for encoding in (*_JAPANESE, *_OTHERS):
        text = _decoded(raw, encoding.codec)
        if text is None:
            continue
        beyond = [sign for sign in text if ord(sign) > 127]
        if len(beyond) < _LEAST:
            continue
        share = sum(bool(encoding.letters.match(sign)) for sign in beyond) / len(beyond)
        if len(_IN_WORDS.findall(text)) < _SHARE * len(beyond):
            continue  # accents among ASCII letters
        if encoding in _JAPANESE and share >= _SHARE / 3:
            return encoding
        common = _COMMON_HAN.get(encoding.codec)
        if common is not None and share >= _SHARE:
            share *= 2 * len(common.findall(raw)) / max(1, len(_BEYOND.findall(raw)))
        if share >= _SHARE:
            found.append((_likelihood(beyond, encoding) if encoding.common else 2 * share, encoding))
    return max(found, key=lambda each: each[0])[1] if found else None


def _likelihood(beyond: list[str], encoding: _Encoding) -> float:
    """Return how much letters are those of a language, and small ones: what tells encodings of the same bytes apart."""
    usual = sum(sign.casefold() in encoding.common for sign in beyond)
    return (usual + sum(not sign.isupper() for sign in beyond)) / len(beyond)


def _decoded(raw: bytes, codec: str) -> str | None:
    """Return bytes as text in an encoding; None where they are none. A sign that was cut at the end is left out."""
    for end in (len(raw), len(raw) - 1):
        try:
            return raw[:end].decode(codec)
        except UnicodeDecodeError:
            continue
    return None


def _western(raw: bytes, place: int) -> tuple[str, str, str] | None:
    """Return the sign that a byte is in the encodings of Western Europe, with name: the first in which it is a letter.

    Where it is one in none of them, what it is in Windows-1252.
    """
    is_in_word = all(
        chr(byte).isalpha() and byte < 128 for byte in (*raw[max(0, place - 1) : place], *raw[place + 1 : place + 2])
    )
    first: tuple[str, str, str] | None = None
    for codec, name, iconv in _WESTERN:
        try:
            meant = raw[place : place + 1].decode(codec)
        except UnicodeDecodeError:
            continue
        first = first or (meant, name, iconv)
        if meant.islower() or not is_in_word:
            return meant, name, iconv
    return first
