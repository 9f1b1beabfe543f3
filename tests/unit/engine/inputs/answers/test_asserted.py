"""English prose that names a label and does not state it, questions answered yes, cues of further languages."""

from __future__ import annotations

import pytest

from engine.config import DecisionSection
from engine.inputs.answers.decided import LabelDecider
from engine.inputs.answers.heard import language_of
from engine.inputs.answers.languages import languages
from engine.inputs.answers.recorded import RecordedValue
from engine.inputs.answers.stated import AnswerReader
from engine.samples import RowRejected

DIRECTIONS = ("increase", "decrease")
LETTERS = ("A", "B", "C", "D")
SENTIMENTS = ("positive", "negative", "neutral")
RATINGS = ("buy", "hold", "sell")
_READERS: dict[tuple[str, ...], AnswerReader] = {}


def read(labels, answer):
    """Return the label that an answer states, or the reason why it states none."""
    if labels not in _READERS:
        _READERS[labels] = AnswerReader(DecisionSection.model_validate({"labels": list(labels)}))
    stated = _READERS[labels].stated(answer)
    found = stated.field or stated.text
    return found.word.label if found.word else None


NAMED = {
    DIRECTIONS: [
        "He claimed, wrongly, that EPS will increase.",
        "According to the press, EPS will increase.",
        "She told investors, and later the press, that EPS will increase.",
        "Consensus: increase. My own view is withheld.",
        "Bloomberg wrote that EPS would decrease.",
        "A decrease remains on the table.",
        "EPS might increase; then again, it might not.",
        "Options:\n- increase\n- decrease",
        'return "decrease"  # placeholder',
        "TODO: replace 'increase' by the real prediction",
        '"Increase," she said. She was wrong.',
        "The word 'decrease' occurs four times in the filing.",
        "Please increase the context so that I can answer.",
        "My first instinct was decrease. Scratch that.",
        "increase (if audited) / decrease (if not)",
        "Der Analyst meint, increase sei verfrüht.",
        "Аналитики говорят increase, я молчу.",
    ],
    LETTERS: [
        "Everyone in my class answered D.",
        "The answer key in the old edition says A; it was later corrected.",
        "C would be the answer in Newtonian mechanics.",
        "A grade of D is a fail.",
        "Choose A if the patient is under 12, otherwise B.",
        "My friend bets on A. I bet on nobody.",
        "B looked right until I noticed the minus sign.",
        "B is not as good as C.",
        "Die Antwort B haben die meisten gewählt, leider zu Unrecht.",
    ],
    SENTIMENTS: [
        "The reviewer calls the positive press undeserved.",
        "COVID test came back negative.",
        "I'm positive that I can't classify this.",
        "Some would read it as positive.",
        "Negative five degrees is what the thermometer shows.",
    ],
    RATINGS: [
        "Those who hold the stock should read on.",
        "Insiders sell, which tells us little.",
        "Goldman rates it a buy.",
    ],
    ("spam", "ham"): ["The message mentions spam filters."],
    ("up", "down"): ["Sign up to learn more."],
}
STATED = [
    (LETTERS, "Only A satisfies both conditions.", "A"),
    (LETTERS, "That makes B the correct answer.", "B"),
    (LETTERS, "The right one: D", "D"),
    (LETTERS, "C is right.", "C"),
    (SENTIMENTS, "This review is overwhelmingly positive.", "positive"),
    (SENTIMENTS, "I would classify this review as neutral.", "neutral"),
    (DIRECTIONS, "EPS is bound to increase.", "increase"),
    (DIRECTIONS, "All things considered, I'd go with decrease.", "decrease"),
    (DIRECTIONS, "Given the trend, an increase in EPS is the most probable outcome.", "increase"),
    (RATINGS, "My rating is sell.", "sell"),
    (("true", "false"), "The statement is false.", "false"),
    (("yes", "no"), "No it does not.", "no"),
    (DIRECTIONS, "With revenue growth reported at 12%, EPS will increase.", "increase"),
    (DIRECTIONS, "Management hopes to cut costs and net income rose 10%, so EPS will increase.", "increase"),
    (DIRECTIONS, "The notes to the statements show falling debt, and I expect earnings to increase.", "increase"),
    (DIRECTIONS, "Net income reported for 2019 fell by a third, therefore EPS will decrease.", "decrease"),
    (DIRECTIONS, "According to the income statement, EPS will decrease.", "decrease"),
    (DIRECTIONS, "Analysts expect a decrease, but I predict an increase.", "increase"),
    (SENTIMENTS, "Despite some positive remarks, the overall sentiment is negative.", "negative"),
    (SENTIMENTS, "The reviewer has a negative opinion of the film.", "negative"),
    (SENTIMENTS, "The critic warned viewers, and the sentiment is negative.", "negative"),
]
ASKED = [
    (DIRECTIONS, "Will EPS increase? Yes."),
    (DIRECTIONS, "Will EPS increase? Yes, it will."),
    (DIRECTIONS, "Will EPS increase? Absolutely!"),
    (("steigen", "fallen"), "Wird der Gewinn steigen? Ja."),
    (("augmenter", "baisser"), "Le BPA va-t-il augmenter ? Oui."),
    (("aumentar", "disminuir"), "¿Va a aumentar el BPA? Sí."),
    (("aumentare", "diminuire"), "L'utile per azione aumentare? Sì."),
    (("aumentar", "diminuir"), "O LPA vai aumentar? Sim."),
    (("вырастет", "упадет"), "Прибыль вырастет? Да."),
    (("artacak", "azalacak"), "Hisse başına kâr artacak mı? Evet."),
    (("naik", "turun"), "Apakah laba akan naik? Ya."),
    (("上升", "下降"), "每股收益会上升吗？是的。"),
    (("増加", "減少"), "EPSは増加しますか？はい。"),
    (("증가", "감소"), "EPS는 증가할까요? 네."),
    (("سيرتفع", "سينخفض"), "هل سيرتفع ربح السهم؟ نعم."),
    (("बढ़ेगी", "घटेगी"), "क्या आय बढ़ेगी? हाँ।"),
]
UNASKED = [
    "Will EPS increase? No.",
    "Will EPS increase or decrease? Yes.",
    "Could EPS increase? Yes.",
    "Did EPS increase? Yes.",
    "Do analysts expect an increase? Yes.",
    "Is an increase possible? Yes. Is it likely? No.",
    "Will EPS increase? Yes, but only if sales grow.",
    "Will revenue increase? Yes.",
    "Will EPS increase? Who knows.",
]
CUES = [
    "Svar: {}",
    "Rätt svar är {}.",
    "Svaret er {}.",
    "Antwoord: {}",
    "Vastaus: {}",
    "Odpowiedź: {}",
    "Odpověď: {}",
    "Odpoveď: {}",
    "Válasz: {}",
    "Răspunsul corect este {}.",
    "Odgovor: {}",
    "Отговор: {}",
    "Відповідь: {}",
    "Απάντηση: {}",
    "התשובה היא {}",
    "پاسخ: {}",
    "Đáp án: {}",
    "Đáp án đúng là {}.",
    "คำตอบคือ {}",
    "คำตอบ: {}",
    "Slutgiltigt svar: {}",
    "Ostateczna odpowiedź: {}",
]


@pytest.mark.parametrize(("labels", "answer"), [(labels, text) for labels, texts in NAMED.items() for text in texts])
def test_a_label_that_is_only_named(labels, answer):
    assert read(labels, answer) is None


@pytest.mark.parametrize(("labels", "answer", "stated"), STATED)
def test_a_label_that_is_stated(labels, answer, stated):
    assert read(labels, answer) == stated


@pytest.mark.parametrize(("labels", "answer"), ASKED)
def test_a_question_that_is_answered_yes(labels, answer):
    assert read(labels, answer) == labels[0]


@pytest.mark.parametrize("answer", UNASKED)
def test_questions_that_state_nothing(answer):
    assert read(DIRECTIONS, answer) is None


def test_an_asked_label_is_flagged_and_a_no_is_told():
    decider = LabelDecider(DecisionSection())
    decided = decider.decided(RecordedValue(None, None), "Will EPS increase? Yes.")
    assert (decided.label, decided.flags) == ("increase", ("asked_label",))
    assert (decided.word.start, decided.word.end) == (9, 17)
    with pytest.raises(RowRejected, match="yes or no to a question of its own"):
        decider.decided(RecordedValue(None, None), "Will EPS increase? No.")


@pytest.mark.parametrize("cue", CUES)
def test_cues_of_languages_of_which_nothing_else_is_known(cue):
    assert read(LETTERS, cue.format("B")) == "B"
    assert read(LETTERS, f"{cue.format('B')}\n\nA, C: 3 %.") == "B"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("De winst per aandeel zal dalen omdat de kosten stijgen en het bedrijf geen groei laat zien.", "Dutch"),
        ("Zysk na akcję nie wzrośnie, ponieważ koszty są wysokie i nie będzie wzrostu przez rok.", "Polish"),
        ("Lợi nhuận sẽ không tăng vì chi phí của công ty đã tăng trong năm nay và không có đơn hàng.", "Vietnamese"),
        ("Το κέρδος δεν θα αυξηθεί.", "Greek"),
        ("กำไรจะไม่เพิ่มขึ้น", "Thai"),
    ],
)
def test_a_language_with_cues_alone_is_named_and_not_told(text, name):
    heard = language_of(text)
    assert (heard.name, heard.is_told) == (name, False)


def test_languages_with_cues_alone_say_so():
    partial = {language.code for language in languages().values() if language.is_partial}
    assert len(languages()) - len(partial) == 14 and {"nl", "sv", "vi", "th", "he", "el"} <= partial
