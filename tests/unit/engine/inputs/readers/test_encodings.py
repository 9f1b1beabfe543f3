"""Which encoding bytes that are no UTF-8 are called by, and how the file is converted."""

from __future__ import annotations

import pytest

from engine.inputs.readers.encodings import why_not_utf8

TEXTS = {
    "cp1252": (
        "WINDOWS-1252",
        ["Umsätze fällt für Äpfel über größer", "déjà été élève", "Crédito ação não é", "£5 – €6"],
    ),
    "cp932": ("CP932", ["売上高は増加しますか", "コスト"]),
    "euc_jp": ("EUC-JP", ["売上高は増加しますか"]),
    "gbk": ("GB18030", ["每股收益会上升还是下降?", "下降。"]),
    "big5": ("BIG5", ["每股盈餘會上升還是下降?"]),
    "cp949": ("CP949", ["주당순이익이 증가할까요 감소할까요?"]),
    "cp1251": ("WINDOWS-1251", ["Прибыль на акцию вырастет", "Рост прибыли"]),
    "koi8-r": ("KOI8-R", ["Прибыль на акцию вырастет"]),
    "cp1253": ("WINDOWS-1253", ["Τα κέρδη θα αυξηθούν", "Αύξηση κερδών"]),
    "cp1255": ("WINDOWS-1255", ["עלייה ברווח"]),
    "cp1256": ("WINDOWS-1256", ["هل سترتفع ربحية السهم"]),
    "cp850": ("CP850", ["Umsätze fällt"]),
}


@pytest.mark.parametrize(("codec", "text"), [(codec, text) for codec, (_, texts) in TEXTS.items() for text in texts])
def test_an_encoding_is_told_by_its_letters(codec, text):
    raw = f'F0,"{text}",increase\n'.encode(codec)
    with pytest.raises(UnicodeDecodeError) as caught:
        raw.decode("utf-8")
    assert f"iconv -f {TEXTS[codec][0]} -t UTF-8" in why_not_utf8(raw, caught.value.start)
