"""What others say in the languages other than English, and what the writer says beside it."""

from __future__ import annotations

import pytest

from tests.unit.engine.inputs.answers.test_stated import LETTERS, REASONS, read

WORDS = {
    "German": ("Anstieg", "Rückgang"),
    "French": ("hausse", "baisse"),
    "Spanish": ("aumento", "caída"),
    "Italian": ("aumento", "calo"),
    "Portuguese": ("aumento", "queda"),
    "Russian": ("рост", "снижение"),
    "Chinese": ("增加", "下降"),
    "Japanese": ("増加", "減少"),
    "Korean": ("증가", "감소"),
}
OTHERS = {
    "German": [
        "Der Vorstand hofft auf einen Anstieg.",
        "Die Konkurrenz meldete einen Rückgang.",
        "Laut Vorstand kommt ein Anstieg.",
        "Die Geschäftsführung hat einen Rückgang eingeräumt.",
        '"Ein Anstieg ist sicher", sagte der CEO.',
    ],
    "French": [
        "Le PDG espère une hausse du bénéfice.",
        "Selon la direction, une hausse est probable.",
        "« Une hausse est certaine », a déclaré le PDG.",
    ],
    "Spanish": ["El director general espera un aumento.", "Según la empresa, es probable un aumento."],
    "Italian": ["L'amministratore delegato spera in un aumento.", "Secondo il management, è probabile un aumento."],
    "Portuguese": ["O diretor espera um aumento.", "Segundo a empresa, é provável um aumento."],
    "Russian": ["По словам директора, ожидается рост прибыли.", "Руководство надеется на рост прибыли."],
    "Chinese": ["管理层希望每股收益增加。", "公司表示每股收益将增加。"],
    "Japanese": ["経営陣はEPSの増加を目指している。", "会社はEPSが増加すると発表した。"],
    "Korean": ["경영진은 EPS 증가를 기대하고 있다."],
}
OWN = {
    "German": [
        ("Fazit: Daher erwarte ich einen Anstieg des Gewinns je Aktie.", 0),
        ("Laut den Daten ist ein Anstieg wahrscheinlich.", 0),
        ("Das Management senkt die Kosten, daher ist ein Anstieg wahrscheinlich.", 0),
        ("Das Modell sagt einen Anstieg voraus.", 0),
        ("Der Vorstand hofft auf einen Anstieg, aber ich erwarte einen Rückgang.", 1),
        ("Trotz des Rückgangs der Umsätze erwarte ich einen Anstieg des EPS.", 0),
    ],
    "French": [
        ("Conclusion : je prévois une hausse du BPA.", 0),
        ("D'après les données, une hausse du BPA est probable.", 0),
        ("Malgré la baisse des ventes je prévois une hausse du BPA.", 0),
    ],
    "Spanish": [
        ("Conclusión: espero un aumento del BPA.", 0),
        ("Se espera un aumento del BPA.", 0),
        ("A pesar de la caída de las ventas espero un aumento del BPA.", 0),
    ],
    "Italian": [
        ("Conclusione: prevedo un aumento dell'utile.", 0),
        ("Si prevede un aumento dell'utile per azione.", 0),
    ],
    "Portuguese": [("Conclusão: espero um aumento do lucro.", 0), ("Espera-se um aumento do lucro por ação.", 0)],
    "Russian": [("Вывод: ожидаю рост прибыли на акцию.", 0), ("Согласно отчёту, ожидается рост прибыли.", 0)],
    "Chinese": [
        ("因此，预计每股收益将增加。", 0),
        ("公司的成本控制良好，因此我预计每股收益将增加。", 0),
        ("公司的每股收益预计将增加。", 0),
        ("综上所述，我认为每股收益会下降。", 1),
    ],
    "Japanese": [
        ("したがって、EPSは増加すると予想されます。", 0),
        ("会社のコスト管理は良好であり、EPSは増加すると予想します。", 0),
        ("同社のEPSは増加すると予測されます。", 0),
        ("以上のことから、EPSは減少すると考えます。", 1),
    ],
}
LETTERED = [
    "La plupart des étudiants choisissent B.",
    "Der Lehrer meinte, B sei richtig.",
    "很多人选择B。",
    "La mayoría elige B.",
]


@pytest.mark.parametrize(("language", "answer"), [(name, text) for name, texts in OTHERS.items() for text in texts])
def test_what_others_say_states_nothing(language, answer):
    assert read(WORDS[language], answer) in REASONS


@pytest.mark.parametrize(
    ("language", "answer", "place"), [(name, text, at) for name, texts in OWN.items() for text, at in texts]
)
def test_what_the_writer_concludes_is_stated(language, answer, place):
    assert read(WORDS[language], answer) == WORDS[language][place]


@pytest.mark.parametrize("answer", LETTERED)
def test_what_most_choose_states_nothing(answer):
    assert read(LETTERS, answer) in REASONS


@pytest.mark.parametrize(
    ("answer", "stated"),
    [
        ("The author calls the results 'positive'.", None),
        ('The company described the results as "positive".', None),
        ("I would call the results 'positive'.", "positive"),
        ('I\'d label it "positive".', "positive"),
        ("This headline conveys a positive sentiment, as the company beat negative expectations.", "positive"),
    ],
)
def test_who_gives_a_name_in_quotes(answer, stated):
    found = read(("positive", "negative", "neutral"), answer)
    assert found == stated if stated else found in REASONS


@pytest.mark.parametrize(
    ("answer", "stated"),
    [
        ("EPS will increase, analysts say.", None),
        ("EPS to increase, sources note.", None),
        ("EPS will increase, as the company reported strong sales.", "increase"),
        ("EPS will increase, which analysts expected too.", "increase"),
    ],
)
def test_who_says_so_behind_a_label(answer, stated):
    found = read(("increase", "decrease"), answer)
    assert found == stated if stated else found in REASONS
