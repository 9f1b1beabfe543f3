"""What bytes that are no UTF-8 could be, and how the file is converted.

Bytes do not say what they are in. An encoding is a candidate where what it makes of them looks like a language that is
written in it; where several do, all are named with the text as each reads it, so that whoever knows the text can tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

_SHOWN = 16
"""Characters of the text that are shown as an encoding reads them."""
_LOOKED_AT = 20_000
"""Bytes that are looked at, around the first that cannot be decoded."""
_LEAST = 0.6
"""Share of the characters beyond ASCII that has to look like a language."""
_NEAR = 0.13
"""By how much less an encoding may look like one than the best does, and still be named."""
_MOST = 3
"""Candidates that are named at most."""
_SIGN = 0.7
"""What a sign of typography says for an encoding, where a letter says 1."""
_UNUSUAL = 0.75
"""What a letter of an alphabet says that is not among its usual ones."""
_SIGNS = frozenset("€£§°«»“”„‘’‚‹›–—…·•©®™½¼²³µ×\u00a0")
_APOSTROPHE = "’"
_LATIN = {
    "cp1252": (
        "äöüß", "éèêëàâçîïôùûœæ«»", "áéíóúñü¿¡ºª", "àèéìòùó", "ãõáéíóúâêôàç", "åäöéü", "æøåéô", "ëïéèöü", "áæéíóöúýþð",
    ),
    "cp1250": ("ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áéíóöőúüű", "ăâîşţ", "čšžćđ", "áäčďéíĺľňóôŕšťúýž"),
    "cp1254": ("çğıöşüâîûİ",),
    "cp1257": ("ąčęėįšųūž", "āčēģīķļņšūž", "äöõüšž"),
    "cp1258": ("ăâđêôơưàáãèéìíòóõùúý\u0300\u0301\u0303\u0309\u0323₫",),
}  # fmt: skip
"""The letters beyond ASCII of languages, small ones, by the encoding of Windows that they are written in."""
_LATIN["mac_roman"] = _LATIN["cp850"] = _LATIN["cp1252"][:-1]
_LATIN["iso8859_2"] = _LATIN["cp1250"]
_OTHERS = {
    "cp1251": ("абвгдежзийклмнопрстуфхцчшщъыьэюяё", "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя"),
    "cp1253": ("αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ",),
    "cp1255": ("אבגדהוזחטיךכלםמןנסעףפץצקרשת",),
    "cp1256": (
        "ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهويى" + "پچژگ" + "\u064b\u064c\u064d\u064e\u064f\u0650\u0651\u0652،؛؟",
    ),
    "cp874": ("".join(map(chr, range(0x0E01, 0x0E3B))) + "".join(map(chr, range(0x0E3F, 0x0E5C))),),
}
for _codec in ("koi8-r", "cp866", "iso8859_5"):
    _OTHERS[_codec] = _OTHERS["cp1251"][:1]
_USUAL = frozenset(
    "оеаинтсрвлідкмпуыяьз" + "αοιετσνηυρςάέίόύώήκπ" + "יוהלאתמרבש" + "اليمنتوربةسهعدف" + "กนรอาเงมยลวดตทสบคหพแ่้ัิีุู็์"
)
"""Of alphabets that several encodings put on the same bytes, the letters that most of a text is made of."""
_HANGUL = (
    "이가다는을를의에하고한지도로어기사리대해나자시인서아그일수정있라니보제게과부들스으전주원만여장구상조"
    "마습감소증익률비요까답것될유금매출영업성향상승락년월은"
)
_HAN = (
    "的一是不了在人有我他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可里后小"
    "么心多天而能好都然没日于起还发成事只作当想看文无开手十用主行方又如前所本见经头面公同三已老从动两长知"
    "民样现分将外但身些与高意进把法此实回二理美点月明其种声全工己话儿者向情部正名定女问力机给等几很业最间"
    "新什打便位因重被走电四第门相次东政海口使教西再平真听世气信北少关并内加化由却代军产入先山五太水万市眼"
    "体别处总才场师书比住员性通目报立命活难神数件安表原车应路期常提感金何更反合放做系计或司利受光果界及今"
    "务制解各任至物台象记边共风战干接它许特直服题建南度统色字请交认算论百义科元社术结六功指思非流每管连远"
    "资带条变联言权往展该领传近留治决周保达办运半必强步完深区即求品转量空技程告语基式识极收钱未持取设始版"
    "历史商改议形则首单据导失网专究组造视增减升降润股本营负债益答案净亏损涨跌预测答"
)
_HAN_TRADITIONAL = (
    "這個來國時們為會說對過發學還沒當經後開現見實點進將長動與從業機員間關產問題變應該資結認統計東車電話語"
    "論數務報價購營淨虧損漲預測餘潤減積極負債財額總稅從東單達遠運連續條約終結營業"
)
_HAN_JAPANESE = (
    "売上高株価円費用減増加少益率予想答問題判断対応実績収支払営業変化結論当経済気発関連業務権責任価値続経"
    "円込読書時間会社員長国内外今回前期後次来去銀行引取替資産負債純損失利息額合計割昇落下"
)
_KANA = re.compile("[\u3041-\u3096\u30a1-\u30fc]")
_HALF_WIDTH = re.compile("[\uff61-\uff9f]")
_EAST_ASIAN_SIGNS = frozenset("、。「」『』，．：；？！（）・〜～《》　“”‘’…—")
_JOINED = {
    "cp932": _HAN + _HAN_TRADITIONAL + _HAN_JAPANESE,
    "euc_jp": _HAN + _HAN_TRADITIONAL + _HAN_JAPANESE,
    "gb18030": _HAN,
    "big5": _HAN + _HAN_TRADITIONAL,
    "cp949": _HANGUL,
}
"""Signs in daily use, by the encoding of several bytes a sign that they are written in."""


@dataclass(frozen=True, slots=True)
class _Encoding:
    """An encoding: its name in Python, for people, and for ``iconv``."""

    codec: str
    name: str
    iconv: str


_ENCODINGS = (
    _Encoding("cp1252", "Windows-1252", "WINDOWS-1252"),
    _Encoding("cp1250", "Windows-1250", "WINDOWS-1250"),
    _Encoding("cp1254", "Windows-1254", "WINDOWS-1254"),
    _Encoding("cp1257", "Windows-1257", "WINDOWS-1257"),
    _Encoding("cp1258", "Windows-1258", "WINDOWS-1258"),
    _Encoding("iso8859_2", "ISO-8859-2", "ISO-8859-2"),
    _Encoding("mac_roman", "Mac Roman", "MACINTOSH"),
    _Encoding("cp850", "code page 850", "CP850"),
    _Encoding("cp1251", "Windows-1251", "WINDOWS-1251"),
    _Encoding("koi8-r", "KOI8-R", "KOI8-R"),
    _Encoding("cp866", "code page 866", "CP866"),
    _Encoding("iso8859_5", "ISO-8859-5", "ISO-8859-5"),
    _Encoding("cp1253", "Windows-1253", "WINDOWS-1253"),
    _Encoding("cp1255", "Windows-1255", "WINDOWS-1255"),
    _Encoding("cp1256", "Windows-1256", "WINDOWS-1256"),
    _Encoding("cp874", "Windows-874", "CP874"),
    _Encoding("cp932", "Shift-JIS", "CP932"),
    _Encoding("euc_jp", "EUC-JP", "EUC-JP"),
    _Encoding("gb18030", "GB18030 (GBK)", "GB18030"),
    _Encoding("big5", "Big5", "BIG5"),
    _Encoding("cp949", "EUC-KR", "CP949"),
)


def why_not_utf8(raw: bytes | bytearray, place: int) -> str:
    """Return which byte cannot be decoded, what the text could be in, and what to do.

    Parameters
    ----------
    raw
        A row, or all of a file.
    place
        Of the byte.
    """
    begin = max(0, place - _LOOKED_AT // 2)
    begin = raw.rfind(b"\n", 0, begin) + 1 if begin else 0
    part = bytes(raw[begin : place + _LOOKED_AT // 2])
    byte = f"its byte {place + 1} (0x{raw[place]:02x}) cannot be decoded"
    candidates = _candidates(part, place - begin)
    if not candidates:
        return f"{byte}: it is not UTF-8. Write the file as UTF-8 from the program that made it."
    read = " or ".join(f"{encoding.name} ({shown!r})" for encoding, shown in candidates)
    convert = f"`iconv -f {candidates[0][0].iconv} -t UTF-8`"
    if len(candidates) == 1:
        return (
            f"{byte}: it is not UTF-8; it could be {read}. If it reads right so, convert the file: {convert} "
            f"(spreadsheets: save as CSV UTF-8)."
        )
    others = ", ".join(encoding.iconv for encoding, _ in candidates[1:])
    return (
        f"{byte}: it is not UTF-8; it could be {read}. Convert the file from the one that reads right: {convert}, or "
        f"with {others} in its place."
    )


def wide_encoding(head: bytes) -> str:
    """Return the encoding of text whose characters take two or four bytes, by the blank ones; empty where it is none.

    Parameters
    ----------
    head
        The first bytes of a file without a byte order mark, eight or more.
    """
    if b"\0" not in head:
        return ""
    blank = [place for place, byte in enumerate(head) if not byte]
    if len(blank) < 2 or not head.strip(b"\0"):
        return ""
    if blank[0] >= 4 and _reads_as_utf8(head):  # cells may hold blank bytes
        return ""
    fours = len(head) // 4 * 4
    if fours and all(not byte for byte in head[2:fours:4] + head[3:fours:4]):
        return "UTF-32LE"
    if fours and all(not byte for byte in head[0:fours:4] + head[1:fours:4]):
        return "UTF-32BE"
    odd = sum(place % 2 for place in blank)
    return "UTF-16LE" if odd == len(blank) else "UTF-16BE" if not odd else ""


def _reads_as_utf8(head: bytes) -> bool:
    """Whether bytes are UTF-8 of which few are signs that no text has: half of Cyrillic in two bytes would be."""
    text = _decoded(head, "utf-8")
    if text is None:
        return False
    return sum(sign < " " and sign not in "\0\t\r\n" for sign in text) * 4 < len(text)


def _candidates(raw: bytes, place: int) -> list[tuple[_Encoding, str]]:
    """Return the encodings that bytes look like, the likeliest first, and the text from a byte on as each reads it."""
    scored: list[tuple[float, str, _Encoding]] = []
    for encoding in _ENCODINGS:
        text = _decoded(raw, encoding.codec)
        score = _likeness(text, encoding.codec) if text is not None else 0.0
        if text is not None and score >= _LEAST:
            scored.append((score, text, encoding))
    scored.sort(key=lambda each: -each[0])  # of equal ones the first named stays the first
    found: dict[str, tuple[_Encoding, str]] = {}
    for score, text, encoding in scored:
        if score >= scored[0][0] - _NEAR:
            found.setdefault(text, (encoding, _shown(raw, place, encoding.codec)))
    return list(found.values())[:_MOST]


def _shown(raw: bytes, place: int, codec: str) -> str:
    """Return some of a text from the word on in which a byte stands."""
    start = max((raw.rfind(sign, 0, place) for sign in (b" ", b"\n", b'"', b",")), default=-1) + 1
    text = raw[start : start + 6 * _SHOWN].decode(codec, errors="ignore")
    return " ".join(text.split())[:_SHOWN]


def _decoded(raw: bytes, codec: str) -> str | None:
    """Return bytes as text in an encoding; None where they are none. A sign that was cut at the end is left out."""
    for end in range(len(raw), max(len(raw) - 4, 0), -1):
        try:
            return raw[:end].decode(codec)
        except UnicodeDecodeError:
            continue
    return None


def _likeness(text: str, codec: str) -> float:
    """Return how much the characters beyond ASCII look like a language that is written in an encoding, 0 to about 1."""
    beyond = [place for place, sign in enumerate(text) if ord(sign) > 127]
    if not beyond:
        return 0.0
    if codec in _JOINED:
        return sum(_of_joined(text[place], codec) for place in beyond) / len(beyond)
    if codec in _LATIN:
        return max(_of_latin(text, beyond, letters) for letters in _alphabets(codec)) * _well_cased(text)
    return max(_of_alphabet(text, beyond, letters) for letters in _alphabets(codec)) * _well_cased(text)


@cache
def _alphabets(codec: str) -> tuple[frozenset[str], ...]:
    """Return the letters of each language of an encoding, capitals among them."""
    alphabets = _LATIN.get(codec) or _OTHERS[codec]
    return tuple(frozenset(letters) | frozenset(letters.upper()) for letters in alphabets)


def _of_joined(sign: str, codec: str) -> float:
    is_japanese = codec in ("cp932", "euc_jp")
    if sign in _JOINED[codec] or (is_japanese and _KANA.match(sign)):
        return 1.0
    if sign in _EAST_ASIAN_SIGNS:
        return 0.8
    return 0.5 if _HALF_WIDTH.match(sign) or "\u4e00" <= sign <= "\u9fff" or "\uac00" <= sign <= "\ud7a3" else 0.0


def _of_latin(text: str, beyond: list[int], letters: frozenset[str]) -> float:
    """Return the share of signs that are letters of a language inside words, or signs of typography between them."""
    score = 0.0
    for place in beyond:
        sign = text[place]
        around = [text[place - 1 : place] if place else "", text[place + 1 : place + 2]]
        if sign in letters:
            is_among = any(one.isalpha() and one.isascii() for one in around) or sign in "éàèìòù¿¡ºª«»"
            score += 1.0 if is_among else 0.85
        elif sign in _SIGNS:
            is_inside = all(one.isalpha() for one in around)
            is_price = sign in "€£" and any(one.isdecimal() for one in around)
            score += 1.0 if is_price or (is_inside and sign == _APOSTROPHE) else 0.0 if is_inside else _SIGN
    return score / len(beyond)


def _of_alphabet(text: str, beyond: list[int], letters: frozenset[str]) -> float:
    """Return the share of signs that are letters of a script; usual ones count more, accents in Latin words none."""
    score = 0.0
    for place in beyond:
        sign = text[place]
        if sign in _SIGNS:
            score += _SIGN
        elif sign in letters:
            around = (text[place - 1 : place] if place else "", text[place + 1 : place + 2])
            is_accent = any(one.isalpha() and one.isascii() for one in around)
            is_alone = not any(one.isalpha() for one in around) and not "\u0e00" <= sign <= "\u0e7f"
            said = 1.0 if sign.casefold() in _USUAL else _UNUSUAL
            score += 0.0 if is_accent else said / 2 if is_alone else said
    return score / len(beyond)


def _well_cased(text: str) -> float:
    """Return 1 where words are small, capital, or begin with a capital; less where case changes inside them."""
    words = list(_words(text))
    if not words:
        return 1.0
    well = sum(word[1:].islower() or word.isupper() or not any(map(_has_case, word[1:])) for word in words)
    return 0.6 + 0.4 * well / len(words) - 0.04 * sum(len(word) > 1 and word.isupper() for word in words) / len(words)


def _has_case(sign: str) -> bool:
    return sign.lower() != sign.upper()


def _words(text: str) -> Iterator[str]:
    """Yield the words that have letters beyond ASCII."""
    for match in re.finditer(r"[^\W\d_]+", text):
        if not match.group().isascii():
            yield match.group()
