"""Words that place a period beside others: the current one, the prior one, in many languages."""

from __future__ import annotations

RELATIVE_WORDS: dict[str, float] = {
    word: order
    for order, words in (
        (
            0.0,
            "cy|cfy|mrq|mry|mrfy|cytd|curr|curr.|curr. year|curr year|curr. yr"
            "|latest|year to date|ytd|most recent|this fy|current fy|current yr|this yr|base year"
            "|berichtsjahr|laufendes jahr|laufendes geschäftsjahr|exercice en cours|exercice courant"
            "|ejercicio actual|ejercicio corriente|año actual|esercizio corrente|exercício atual"
            "|exercicio atual|ano atual|отчетный период|отчётный период|текущий год|本期|本年|本年度|本期金额"
            "|本期发生额|本期数|本年金额|本年累计|期末|期末余额|期末数|当期|当期末|当年度|当連結会計年度"
            "|当事業年度|当期金额|本期金額|期末餘額|당기|당기말|당분기|당반기|lfd. jahr|lfd jahr|aktuelles jahr"
            "|aktuelles geschäftsjahr|dieses jahr|berichtsperiode|année en cours|période en cours"
            "|exercice actuel|cette année|este año|año en curso|ejercicio en curso|periodo actual"
            "|período actual|período atual|ano corrente|este ano|anno corrente|anno in corso|esercizio in corso"
            "|periodo corrente|отчетный год|отчётный год|за отчетный год|за отчётный год|за отчетный период"
            "|за отчётный период|текущий период|на конец периода|на конец года|на конец отчетного периода"
            "|cari dönem|cari yıl|bu yıl|السنة الحالية|العام الحالي|الفترة الحالية|चालू वर्ष|वर्तमान वर्ष"
            "|चालू अवधि|tahun berjalan|tahun ini|periode berjalan|lopend jaar|huidig jaar|dit jaar|i år"
            "|innevarande år|rok bieżący|bieżący rok|今期|今年|今年度|今期末|本期末|本年末|年末|年末余额|年末数"
            "|年末餘額|当年|当前|本期数额|今回|올해|금년|당해|당해연도",
        ),
        (
            -1.0,
            "py|ly|pfy|pytd|lytd|prior ytd|prior year ytd|last year ytd|vorjahr|vorperiode|exercice précédent"
            "|exercice precedent|ejercicio anterior|año anterior|anterior|précédent|precedente"
            "|esercizio precedente|exercício anterior|exercicio anterior|ano anterior|предыдущий период"
            "|предыдущий год|прошлый год|上期|上年|上年度|上期金额|上期发生额|上期数|上年金额|上年同期|期初"
            "|期初余额|期初数|年初余额|前期|前期末|前年度|前連結会計年度|前事業年度|上期金額|期初餘額|전기"
            "|전기말|전분기|전반기|prior fy|last fy|previous fy|prior yr|last yr|previous yr|prev. yr|prev yr"
            "|prev. year|prev year|prev.|prev|comparative|comparatives|comparative period|year ago|year-ago"
            "|a year ago|yr ago|year-ago quarter|year ago quarter|same quarter last year"
            "|same quarter prior year|same quarter of last year|prior year quarter|prior-year quarter"
            "|same period last year|same period prior year|prior-year period|year-ago period|prior year period"
            "|previous year period|corresponding period last year|beginning of year|beginning of the year"
            "|beginning of period|vorjahreszeitraum|vorjahresperiode|voriges jahr|letztes jahr|vorheriges jahr"
            "|vorjahreswert|vorjahreswerte|année précédente|période précédente|l'an dernier|an dernier"
            "|année dernière|exercice antérieur|año pasado|periodo anterior|período anterior|ano passado"
            "|anno precedente|anno scorso|periodo precedente|за предыдущий год|за предыдущий период"
            "|предшествующий год|на начало периода|на начало года|за аналогичный период прошлого года"
            "|önceki dönem|önceki yıl|geçen yıl|geçmiş dönem|السنة السابقة|العام السابق|الفترة السابقة"
            "|العام الماضي|पिछला वर्ष|गत वर्ष|पिछले वर्ष|पिछली अवधि|tahun lalu|tahun sebelumnya"
            "|periode sebelumnya|vorig jaar|vorig boekjaar|voorgaand jaar|föregående år|foregående år|i fjor"
            "|i fjol|sidste år|rok poprzedni|poprzedni rok|去年|去年度|去年同期|上年末|上期末|上年年末"
            "|上年年末余额|前年|前年同期|昨年|昨年度|前年末|前期実績|年初|年初数|年初餘額|전년|전년도|작년"
            "|전년동기",
        ),
        (
            -2.0,
            "ppy|前々期|前々年度|전전기|vorvorjahr",
        ),
        (
            1.0,
            "下期|次期|来期|翌期|차기",
        ),
    )
    for word in words.split("|")
}
"""What a period sorts by whose header is such a word: its distance from now."""
COUNTERPARTS = (
    "lfy|lfq|lq|geschäftsjahr|gj|jahr|berichtszeitraum|periode|ist|ist-werte|soll|exercice|année|période|réel|réalisé"
    "|ejercicio|año|periodo|período|actual|actuals|real|esercizio|anno|consuntivo|exercício|exercicio|ano|atual"
    "|realizado|fy|cy|year|fiscal year|financial year|period|quarter|month|reported|budget|plan|boekjaar|год"
    "|период|yıl|dönem|rok|år|期|年度|実績|決算|本|year end|end of year|end of the year|end of period"
)
"""Words that mean the current period beside one for the prior period, and may mean anything elsewhere."""
