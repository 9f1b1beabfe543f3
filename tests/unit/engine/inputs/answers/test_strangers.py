"""Answers in the words of models that nobody tuned the rules on, and their neighbours, which stay as they were."""

from __future__ import annotations

import pytest

from engine.config import DecisionSection
from engine.inputs.answers.stated import AnswerReader
from tests.unit.engine.inputs.answers.test_speakers import LABELS, MATCH
from tests.unit.engine.inputs.answers.test_stated import DIRECTIONS, LETTERS, read

VERDICTS = ("correct", "incorrect")
TRADES = ("buy", "sell", "hold")
RATINGS = ("1", "2", "3", "4", "5")
FIRST_ANSWERS = [
    (LETTERS, "My first answer was C, but I now realise it's A.", "A"),
    (LETTERS, "My initial answer was B but after checking the units I got D.", "denied_label"),
    (LETTERS, "My original answer was C; the right one is A.", "A"),
    (LETTERS, "My first answer was C.", "denied_label"),
    (LETTERS, "Meine erste Antwort war C. Die richtige Antwort ist A.", "A"),
    (LETTERS, "Ma réponse initiale était C. La bonne réponse est A.", "A"),
    (LETTERS, "Мой первый ответ был C, но правильный ответ A.", "A"),
    (DIRECTIONS, "My first prediction was increase; I now predict a decrease.", "decrease"),
    (LETTERS, "My first choice is C.", "C"),
    (LETTERS, "My first choice was right: B.", "B"),
    (LETTERS, "My first and final answer is B.", "B"),
]
CORRECTED = [
    (LETTERS, "B... or rather D.", "D"),
    (LETTERS, "So I'll answer A... just kidding, B.", "B"),
    (LETTERS, "B, oder besser gesagt D.", "D"),
    (LETTERS, "Change answer from B to D.", "D"),
    (DIRECTIONS, "My answer changed from increase to decrease.", "decrease"),
    (DIRECTIONS, "The analyst's answer changed from increase to decrease.", "denied_label"),
    (DIRECTIONS, "Consensus changed from increase to decrease.", "ambiguous_label"),
    (TRADES, "Upgrade from hold to buy", "buy"),
    (TRADES, "Analysts upgraded it from hold to buy.", "ambiguous_label"),
    (RATINGS, "I changed my rating from 4 to 2.", "2"),
    (RATINGS, "Sales rose from 4 to 2.", "no_label"),
]
ROWS = [
    (DIRECTIONS, "Increase - no\nDecrease - yes", "decrease"),
    (DIRECTIONS, "Increase – No\nDecrease – Yes", "decrease"),
    (DIRECTIONS, "Increase (no)\nDecrease (yes)", "decrease"),
    (DIRECTIONS, "Increase: no\nDecrease: yes", "decrease"),
    (DIRECTIONS, "There is no\nincrease to expect.", "denied_label"),
    (DIRECTIONS, "Increase - no reservations", "increase"),
    (DIRECTIONS, "Increase (no decrease expected)", "increase"),
    (("yes", "no"), "Growth (no)", "ambiguous_label"),
    (DIRECTIONS, "Overall = increase, changes = none", "increase"),
]
EVENTS = [
    (DIRECTIONS, "With a recovery, earnings would increase.", "ambiguous_label"),
    (DIRECTIONS, "Under normal conditions EPS would increase.", "ambiguous_label"),
    (DIRECTIONS, "Sales are weak. In a downturn, EPS would decrease.", "ambiguous_label"),
    (DIRECTIONS, "Sales are weak. Should margins recover, EPS will increase.", "ambiguous_label"),
    (DIRECTIONS, "With a recovery, I would expect EPS to increase.", "increase"),
    (DIRECTIONS, "Given a strong recovery in sales, EPS will increase.", "increase"),
    (DIRECTIONS, "In a nutshell, EPS would increase.", "increase"),
    (DIRECTIONS, "Under these conditions, EPS will increase.", "increase"),
]
OTHERS = [
    (DIRECTIONS, "They claim EPS will increase.", "ambiguous_label"),
    (DIRECTIONS, "They maintain that EPS will increase.", "ambiguous_label"),
    (DIRECTIONS, "They also insist EPS will increase.", "ambiguous_label"),
    (DIRECTIONS, "They project EPS to increase.", "ambiguous_label"),
    (DIRECTIONS, "Our CEO, Jane Doe, stated that EPS will increase.", "ambiguous_label"),
    (DIRECTIONS, "Jane Doe, our CEO, said EPS will increase.", "ambiguous_label"),
    (DIRECTIONS, "Most say EPS will increase.", "denied_label"),
    (LETTERS, "Others picked B.", "denied_label"),
    (DIRECTIONS, "The figures are strong; they suggest that EPS will increase.", "increase"),
    (DIRECTIONS, "Our model, a simple trend, predicts that EPS will increase.", "increase"),
    (DIRECTIONS, "The board, as the filing shows, cut costs, so EPS will increase.", "increase"),
    (DIRECTIONS, "The figures are weak: they declined, and EPS will decrease.", "decrease"),
]
DOUBTED = [
    (DIRECTIONS, "I see no reason for EPS to decrease.", "denied_label"),
    (DIRECTIONS, "There is no reason why EPS should decrease.", "denied_label"),
    (DIRECTIONS, "I see no scenario in which EPS will increase.", "denied_label"),
    (DIRECTIONS, "I see nothing that would make EPS increase.", "denied_label"),
    (DIRECTIONS, "It is far-fetched that EPS will increase.", "denied_label"),
    (DIRECTIONS, "I doubt management's claim that EPS will increase.", "denied_label"),
    (DIRECTIONS, "I'm not persuaded by the argument that EPS will increase.", "denied_label"),
    (DIRECTIONS, "I have doubts about the forecast that EPS will increase.", "denied_label"),
    (DIRECTIONS, "I see no reason for pessimism, EPS will increase.", "increase"),
    (DIRECTIONS, "I have no doubts that EPS will increase.", "increase"),
    (DIRECTIONS, "I doubt it. EPS will decrease.", "decrease"),
    (DIRECTIONS, "I'm skeptical of the growth story and expect EPS to decrease.", "decrease"),
]
IN_TURN = [
    (DIRECTIONS, "EPS will increase at first and then decrease.", "ambiguous_label"),
    (DIRECTIONS, "EPS will increase initially but decrease later.", "ambiguous_label"),
    (DIRECTIONS, "Although EPS decreased initially, it will increase.", "increase"),
    (DIRECTIONS, "Initially, costs rise, but EPS will increase.", "increase"),
]
JUDGED = [
    (VERDICTS, "The student's answer is incorrect because the correct value is 5.", "incorrect"),
    (VERDICTS, "The candidate's answer is clearly incorrect.", "incorrect"),
    (VERDICTS, "The user's response is correct.", "correct"),
    (("valid", "invalid"), "The student's answer is invalid.", "invalid"),
    (VERDICTS, "The student's answer is not correct.", "denied_label"),
    (LETTERS, "The student's answer is C.", "denied_label"),
    (("yes", "no"), "The student's answer is yes.", "denied_label"),
    (LETTERS, "I got a B in physics.", "no_label"),
    (LETTERS, "I get an answer of A.", "A"),
]


@pytest.mark.parametrize(
    ("labels", "answer", "expected"),
    [*FIRST_ANSWERS, *CORRECTED, *ROWS, *EVENTS, *OTHERS, *DOUBTED, *IN_TURN, *JUDGED],
)
def test_in_english_and_in_any_language(labels, answer, expected):
    assert read(labels, answer) == expected


@pytest.mark.parametrize(
    ("answer", "settings", "label"),
    [
        ("The stock price will increase.", {}, "ambiguous_label"),
        ("The share price will decrease.", {}, "ambiguous_label"),
        ("I expect the share price to fall, and EPS to increase.", {}, "increase"),
        ("EPS will increase and the stock price will decrease.", {}, "increase"),
        ("EPS will increase, which should support the stock price.", {}, "increase"),
        ("The stock price will increase.", {"field": None}, "increase"),
        ("The stock price will increase.", {"field": "stock_direction"}, "increase"),
    ],
)
def test_the_price_of_a_stock_is_not_its_earnings(answer, settings, label):
    assert read(DIRECTIONS, answer, **settings) == label


@pytest.mark.parametrize(
    ("language", "answer", "expected"),
    [
        ("Hindi", "राजस्व में वृद्धि के बावजूद लाभ घटेगा।", "fall"),
        ("Hindi", "लागत में वृद्धि के कारण लाभ घटेगा।", "fall"),
        ("Turkish", "Maliyetlerdeki artış nedeniyle kâr düşecek.", "fall"),
        ("Turkish", "Gelirlerdeki artış rağmen kâr düşecek.", "fall"),
        ("Korean", "매출 증가에도 불구하고 EPS는 감소할 것입니다.", "fall"),
        ("Korean", "비용 감소 덕분에 EPS는 증가할 것입니다.", "rise"),
        ("Korean", "EPS는 증가할 것입니다. 비용이 감소했기 때문입니다.", "rise"),
        ("Japanese", "売上の増加にもかかわらず、EPSは減少するでしょう。", "fall"),
        ("Japanese", "EPSは増加します。なぜなら費用が減少したからです。", "rise"),
        ("Japanese", "増加すると言われています。", None),
        ("Japanese", "利益は増加すると言えるでしょう。", "rise"),
        ("Korean", "증가할 것이라고 합니다.", None),
        ("Korean", "어떤 사람들은 증가할 것이라고 말합니다.", None),
        ("Korean", "이익은 증가한다고 할 수 있습니다.", "rise"),
        ("Chinese", "有些人说每股收益会增加。", None),
        ("Chinese", "可以说每股收益会增加。", "rise"),
        ("Arabic", "على الرغم من زيادة الإيرادات، سينخفض السهم.", "fall"),
        ("Arabic", "بسبب ارتفاع التكاليف، ستنخفض الأرباح.", "fall"),
        ("Arabic", "مع زيادة الإيرادات، سترتفع الأرباح.", "rise"),
        ("German", "Trotz des Rückgangs der Erlöse wird der Gewinn steigen.", "rise"),
        ("German", "Kurz gesagt wird der Gewinn steigen.", "rise"),
        ("German", "Aufgrund der höheren Kosten wird der Gewinn je Aktie sinken.", "fall"),
        ("German", "Wegen des Anstiegs der Kosten ist die Lage schlecht.", None),
        ("German", "Der Umsatz ist schwach. Bei einer Erholung würde der Gewinn steigen.", None),
        ("German", "Der Umsatz fiel. Sollte die Nachfrage anziehen, wird der Gewinn steigen.", None),
        ("German", "Mit einer Erholung der Nachfrage im Rücken wird der Gewinn steigen.", "rise"),
        ("French", "Avec une reprise, le bénéfice pourrait augmenter.", None),
        ("Spanish", "Con una recuperación en marcha, el beneficio aumentará.", "rise"),
        ("Italian", "Con una ripresa in corso, l'utile aumenterà.", "rise"),
    ],
)
def test_in_other_languages(language, answer, expected):
    stated = AnswerReader(DecisionSection(labels=LABELS[language], **MATCH.get(language, {}))).stated(answer)
    found = (stated.field or stated.text).word
    assert (found and found.label) == expected
