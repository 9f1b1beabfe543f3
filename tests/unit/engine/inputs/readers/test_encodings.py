"""Which encodings bytes that are no UTF-8 could be in, and how the file is converted."""

from __future__ import annotations

import re

import pytest

from engine.errors import InputError
from engine.inputs.readers.encodings import why_not_utf8, wide_encoding
from engine.inputs.readers.text_source import TextSource

TEXTS = {
    "cp1252": (
        "WINDOWS-1252",
        [
            "Umsätze fällt für Äpfel über größer", "déjà été élève", "Crédito ação não é", "£5 – €6", "it’s fine",
            "naïve", "søndag på gården", "Þetta er góður hagnaður",
        ],
    ),
    "cp1250": (
        "WINDOWS-1250",
        ["Zysk na akcję wzrośnie, ponieważ koszty spadły", "Zisk poroste, protože příjmy rostou", "łódź"],
    ),
    "iso8859_2": ("ISO-8859-2", ["Zysk na akcję wzrośnie, ponieważ źle ją obniżyć"]),
    "cp1254": ("WINDOWS-1254", ["Hisse başına kâr artacak çünkü giderler düştü"]),
    "cp1257": ("WINDOWS-1257", ["Pelnas vienai akcijai didės, nes sąnaudos mažėja"]),
    "mac_roman": ("MACINTOSH", ["Umsätze fällt für größer", "déjà été élève, c’est sûr", "subirá según el año"]),
    "cp932": ("CP932", ["売上高は増加しますか", "コスト", "増加", "利益減少", "ｺｽﾄ増加"]),
    "euc_jp": ("EUC-JP", ["売上高は増加しますか", "利益減少"]),
    "gbk": ("GB18030", ["每股收益会上升还是下降?", "下降。", "增加"]),
    "gb18030": ("GB18030", ["每股收益將增加"]),
    "big5": ("BIG5", ["每股盈餘會上升還是下降?", "增加"]),
    "cp949": ("CP949", ["주당순이익이 증가할까요 감소할까요?", "감소"]),
    "cp1251": ("WINDOWS-1251", ["Прибыль на акцию вырастет", "Рост прибыли", "РОСТ ПРИБЫЛИ", "да", "Прибуток зросте"]),
    "koi8-r": ("KOI8-R", ["Прибыль на акцию вырастет", "нет"]),
    "cp866": ("CP866", ["Прибыль на акцию вырастет"]),
    "iso8859_5": ("ISO-8859-5", ["Прибыль на акцию вырастет"]),
    "cp1253": ("WINDOWS-1253", ["Τα κέρδη θα αυξηθούν", "Αύξηση κερδών", "ΑΥΞΗΣΗ"]),
    "cp1255": ("WINDOWS-1255", ["עלייה ברווח"]),
    "cp1256": ("WINDOWS-1256", ["هل سترتفع ربحية السهم"]),
    "cp874": ("CP874", ["กำไรต่อหุ้นจะเพิ่มขึ้น"]),
    "cp850": ("CP850", ["Umsätze fällt", "größer für Bücher"]),
}  # fmt: skip
UNTOLD = {"cp1250": "nő", "cp1254": "Değişim", "koi8-r": "РОСТ"}
"""Texts that are too short to tell: the right encoding is one of those that are named."""


def _told(text: str, codec: str) -> str:
    raw = f'F0,"{text}",increase\n'.encode(codec)
    with pytest.raises(UnicodeDecodeError) as caught:
        raw.decode("utf-8")
    return why_not_utf8(raw, caught.value.start)


@pytest.mark.parametrize(("codec", "text"), [(codec, text) for codec, (_, texts) in TEXTS.items() for text in texts])
def test_an_encoding_is_told_by_its_letters(codec, text):
    told = _told(text, codec)
    assert "it is not UTF-8; it could be" in told
    assert f"iconv -f {TEXTS[codec][0]} -t UTF-8" in told
    assert told.count("iconv") == 1


@pytest.mark.parametrize(("codec", "text"), UNTOLD.items())
def test_several_encodings_are_named_where_bytes_do_not_tell(codec, text):
    told = _told(text, codec)
    assert " or " in told and repr(f'{text}",increase'[:16]) in told
    assert "the one that reads right" in told


def test_bytes_of_no_encoding_are_called_nothing():
    told = why_not_utf8(b"a,\x90\xfe\xf8\xb5\x871\x80\xc4\xba,b\n", 2)
    assert "it is not UTF-8. Write the file as UTF-8" in told and "iconv" not in told


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize(
    "text", ['[{"prompt": "Will EPS rise?"}]', "номер,ответ\n1,рост\n", "番号,答え\n1,増加\n2,減少\n"]
)
def test_wide_text_without_a_mark_is_named_by_its_order(tmp_path, codec, text):
    name = codec.upper().replace("-LE", "LE").replace("-BE", "BE")
    assert wide_encoding(text.encode(codec)[:64]) == name
    (tmp_path / "p.csv").write_bytes(text.encode(codec))
    with pytest.raises(InputError, match=re.escape(f"iconv -f {name} -t UTF-8")):
        TextSource(tmp_path / "p.csv", 7)


def test_text_with_a_stray_zero_is_not_called_wide():
    assert wide_encoding(b'{"id": "a\0b", "prompt": "x\0\0"}') == ""
    assert wide_encoding(b"\0" * 64) == ""
    assert wide_encoding(b"a,b,c\r\n,\0,00\0") == ""
