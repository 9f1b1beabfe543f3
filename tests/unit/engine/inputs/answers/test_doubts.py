"""Labels that are met and not stated: doubted, given a probability, given with others, wrong, of something else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config import DecisionSection
from engine.inputs.answers.decided import LabelDecider
from engine.inputs.answers.recorded import RecordedValue
from engine.inputs.answers.stated import AnswerReader
from engine.samples import RowRejected
from tests.unit.engine.inputs.answers.test_stated import DIRECTIONS, LETTERS, ONE_ZERO, REASONS, YES_NO, read

SENTIMENTS = ("positive", "negative", "neutral")
AMBIGUOUS, DENIED, REJECTED = "ambiguous_label", "denied_label", "a reject"
NOT_STATED = {
    "line ends": [
        (
            DIRECTIONS,
            DENIED,
            ["There is no\nincrease", "There is no\r\n  increase in EPS.", "> There is no\n> increase"],
        ),
        (DIRECTIONS, DENIED, ["EPS will not\n**increase**", "An increase\nis not expected.", "I see no\n\nincrease"]),
        (DIRECTIONS, DENIED, ["There is <b>no</b> increase", "no\u200bincrease", "no&nbsp;increase", "no<br>increase"]),
        (DIRECTIONS, DENIED, ["**No** *increase*", "There is no (significant) increase"]),
        (LETTERS, DENIED, ["The answer is not\nA.", "not (A)"]),
        (("Anstieg", "Rückgang"), DENIED, ["Es ist kein\nAnstieg zu erwarten."]),
        (("artış", "azalış"), DENIED, ["Artış\nbeklenmiyor"]),
        (("वृद्धि", "कमी"), DENIED, ["वृद्धि\nनहीं होगी"]),
        (("上涨", "下跌"), DENIED, ["不会\n上涨"]),
    ],
    "doubts": [
        (
            DIRECTIONS,
            DENIED,
            [
                "An increase seems doubtful",
                "An increase in earnings per share for the next year seems rather doubtful.",
                "an increase is by no means certain",
                "It is hard to see an increase",
                "An increase is questionable",
                "An increase is, in my view, unlikely.",
                "An increase would surprise me",
                "I am skeptical of an increase",
                "Whether EPS will increase is unclear.",
                "It remains to be seen whether EPS will increase",
                "An increase is anything but certain",
                "High costs prevent an increase",
                "Increase (doubtful)",
                "Few expect an increase",
            ],
        ),
        (("Anstieg", "Rückgang"), DENIED, ["Ein Anstieg ist zweifelhaft", "Ein Anstieg ist kaum zu erwarten"]),
        (("Anstieg", "Rückgang"), DENIED, ["Es ist fraglich, ob es einen Anstieg gibt", "Ich bezweifle einen Anstieg"]),
        (("hausse", "baisse"), DENIED, ["Une hausse semble douteuse", "Il est douteux qu'il y ait une hausse"]),
        (("hausse", "baisse"), DENIED, ["Une hausse est loin d'être certaine", "Difficile de voir une hausse"]),
        (("aumento", "caída"), DENIED, ["Difícilmente habrá un aumento", "Un aumento es dudoso"]),
        (("aumento", "calo"), DENIED, ["Difficilmente ci sarà un aumento", "Un aumento sembra dubbio"]),
        (("aumento", "queda"), DENIED, ["Dificilmente haverá aumento", "Um aumento é duvidoso"]),
        (("рост", "падение"), DENIED, ["Рост сомнителен", "Рост под вопросом", "Трудно ожидать рост"]),
        (("artış", "azalış"), DENIED, ["Artış şüpheli", "Artış zor görünüyor"]),
        (("上涨", "下跌"), DENIED, ["上涨值得怀疑", "上涨存疑", "是否上涨尚不清楚"]),
        (("上昇", "下落"), DENIED, ["上昇は疑わしい", "上昇は難しい"]),
        (("증가", "감소"), DENIED, ["증가는 의심스럽다", "증가는 불확실하다"]),
        (("زيادة", "انخفاض"), DENIED, ["الزيادة مشكوك فيها", "يصعب توقع زيادة"]),
        (("वृद्धि", "कमी"), DENIED, ["वृद्धि संदिग्ध है", "वृद्धि होना मुश्किल है"]),
        (("naik", "turun"), DENIED, ["Diragukan laba akan naik", "Saya ragu laba akan naik"]),
    ],
    "several answers": [
        (
            LETTERS,
            AMBIGUOUS,
            [
                *("A, C", "A and C", "A/C", "A & C", "A; C", "A. C.", "(A), (C)", "**A**, **C**", "A as well as C"),
                *("A, possibly C", "Answer: A, C", "Answer: A and C", "Answer: A/C", "The answer is A and C."),
                *("\\boxed{A, C}", "<answer>A, C</answer>", '{"answer": ["A", "C"]}', "['A', 'C']", "1. A\n2. C"),
                *("Answer:\n- A\n- C", "Answer: A, C because both grow", "A, C are both correct", "A. Hmm, C."),
                *("答案：A、C", "Antwort: A und C", "Respuesta: A y C", "Ответ: A и C", "AとC"),
            ],
        ),
        (
            YES_NO,
            AMBIGUOUS,
            ["Yes, but no.", "Yes and no", "Yes. No.", "Yes... no", "Answer: yes, but no", "Yes – and no."],
        ),
        (YES_NO, AMBIGUOUS, ["Yes, if sales grow; otherwise no", "Yes if costs fall, no if they rise"]),
        (("oui", "non"), AMBIGUOUS, ["Oui, mais non."]),
        (DIRECTIONS, AMBIGUOUS, ["increase, decrease", "Answer: increase then decrease", "Increase. Decrease."]),
        (
            DIRECTIONS,
            AMBIGUOUS,
            [
                '{"direction_of_eps_change": "increase, decrease"}',
                "<direction_of_eps_change>increase, decrease</direction_of_eps_change>",
                "direction of eps change: increase, decrease",
            ],
        ),
        (ONE_ZERO, AMBIGUOUS, ["1, 0", "Answer: 1, 0"]),
    ],
    "other keys": [
        (LETTERS, "no_label", ["Vitamin: C"]),
        (
            LETTERS,
            REJECTED,
            ["Grade: A", "Score: A", "Rating: A", "Credit rating: A", "Option list: A", "<grade>A</grade>"],
        ),
        (LETTERS, REJECTED, ["| Grade | A |", '{"grade": "A"}', "Worst: B", "Eliminated: A", "Second choice: B"]),
    ],
    "probabilities": [
        (
            DIRECTIONS,
            AMBIGUOUS,
            [
                *("P(increase)=0.2", "Pr(increase) = 20%", "P(increase) = 0.2, P(decrease) = 0.8", "increase: 0.2"),
                *("increase: 20%, decrease: 80%", "Increase (20%), decrease (80%)", "Increase - 20%\nDecrease - 80%"),
                *("The probability of an increase is 20%", "There is a 20% chance of an increase."),
                *("The odds of an increase are low", "There is a slight chance that EPS will increase"),
                *("An increase has a 20% probability", "EPS is 20% likely to increase", "Increase probability: 20%"),
                '{"direction_of_eps_change": "P(increase)=0.2"}',
            ],
        ),
        (LETTERS, AMBIGUOUS, ["P(A)=0.1, P(B)=0.6, P(C)=0.2, P(D)=0.1", "A (70%), B (30%)"]),
        (YES_NO, AMBIGUOUS, ["P(yes)=0.2", "20% yes"]),
        (SENTIMENTS, AMBIGUOUS, ["Positive: 0.1 | Neutral: 0.8 | Negative: 0.1"]),
        (("上涨", "下跌"), AMBIGUOUS, ["上涨概率为20%"]),
    ],
    "wrong answers": [
        (
            LETTERS,
            DENIED,
            [
                *(
                    "The wrong answer is A",
                    "It is not the case that the answer is A",
                    "It's not true that the answer is A.",
                ),
                *("The worst option is A", "My previous answer was A.", "Not the answer: A", "Incorrect answers: A, B"),
                *("La respuesta incorrecta es A", "Die falsche Antwort ist A", "La mauvaise réponse est A"),
                *("La risposta sbagliata è A", "A resposta errada é A", "Неправильный ответ: A", "错误的答案是A"),
                *("間違った答えはAです", "틀린 답은 A입니다", "الإجابة الخاطئة هي A", "Yanlış cevap: A"),
                *("गलत उत्तर: A", "Jawaban yang salah adalah A", "A is the wrong answer.", "All except A"),
                *("You may think the answer is A", "A, B and C are wrong"),
            ],
        ),
    ],
    "prose": [
        (
            DIRECTIONS,
            AMBIGUOUS,
            [
                "EPS will rise. Costs will decrease",
                *(
                    "Revenue will increase. Costs will decrease.",
                    "EPS will increase. Earnings will decrease.",
                ),
                *("Because costs increase, EPS will fall.", "If sales increase, EPS may drop.", "Will EPS increase?"),
                *("While revenue decreased, EPS will rise.", "Reason: costs increase."),
            ],
        ),
    ],
}
CASES = [(kind, *case) for kind, cases in NOT_STATED.items() for case in cases]


@pytest.mark.parametrize(
    ("labels", "reason", "answers"),
    [case[1:] for case in CASES],
    ids=[f"{case[0].replace(' ', '-')}-{i}" for i, case in enumerate(CASES)],
)
def test_what_is_met_and_not_stated(labels, reason, answers):
    reasons = REASONS if reason == REJECTED else (reason,)
    read_as = {answer: read(labels, answer) for answer in answers}
    assert {answer: found for answer, found in read_as.items() if found not in reasons} == {}


STATED = [
    (DIRECTIONS, "Answer: increase\ncosts will not rise", "increase"),
    (DIRECTIONS, "- no debt\n- increase", "increase"),
    (DIRECTIONS, "## No change in costs\nIncrease", "increase"),
    (DIRECTIONS, "An increase is hard to deny", "increase"),
    (DIRECTIONS, "I would not be surprised to see an increase", "increase"),
    (DIRECTIONS, "I predict an increase, though it is uncertain", "increase"),
    (DIRECTIONS, "An increase seems likely despite doubtful receivables", "increase"),
    (DIRECTIONS, "The question is whether EPS will increase or decrease. I predict increase.", "increase"),
    (DIRECTIONS, "There is a high probability of an increase", "increase"),
    (DIRECTIONS, "There is an 80% chance of an increase", "increase"),
    (DIRECTIONS, "a 20% increase is expected", "increase"),
    (DIRECTIONS, "Answer: Increase (80%)", "increase"),
    (DIRECTIONS, "P(increase)=0.2\nAnswer: decrease", "decrease"),
    (DIRECTIONS, "I predict EPS will increase. Costs are expected to decrease.", "increase"),
    (DIRECTIONS, "Sales increased last year. Overall, EPS will decrease.", "decrease"),
    (DIRECTIONS, "While an increase is possible, I expect a decrease.", "decrease"),
    (LETTERS, "A, because C is wrong", "A"),
    (LETTERS, "Answer: A. B and C ignore tax.", "A"),
    (LETTERS, "A, C are wrong, so B.", "B"),
    (("A", "B"), "B is worse than A", "A"),
    (LETTERS, "Wrong answer: A. Correct answer: B", "B"),
    (LETTERS, "Rating: A\nChoice: C", "C"),
    (LETTERS, "Answer: B. Rating: A", "B"),
    (LETTERS, "Category: A\nAnswer: B", "B"),
    (LETTERS, "Category: A", "A"),
    (LETTERS, "Option: A", "A"),
    (LETTERS, "My pick: B", "B"),
    (LETTERS, "Answer: A. No, B.", "B"),
    (LETTERS, "Answer: A\nWait, that's wrong. B.", "B"),
    (YES_NO, "Yes, no doubt.", "yes"),
    (YES_NO, "(Yes/No) No", "no"),
    (YES_NO, "- [x] Yes\n- [ ] No", "yes"),
    (("artış", "azalış"), "Azalış yerine artış bekliyorum.", "artış"),
    (("steigen", "sinken"), "Während die Umsätze sinken, wird der Gewinn steigen.", "steigen"),
    (("рост", "падение"), "Несмотря на падение выручки, ожидается рост.", "рост"),
]


@pytest.mark.parametrize(("labels", "answer", "stated"), STATED, ids=[f"{i}" for i in range(len(STATED))])
def test_what_is_stated_all_the_same(labels, answer, stated):
    assert read(labels, answer) == stated


FIELD = '{"direction_of_eps_change": "increase", "reason": "Wait, actually the answer is decrease."}'


@pytest.mark.parametrize(
    ("behind", "stated"),
    [
        ("", "increase"),
        (" Wait, actually the answer is decrease.", "decrease"),
        ("\n\nCorrection: decrease", "decrease"),
        ("\nFinal answer: decrease", "decrease"),
        ("\nFinal answer: increase", "increase"),
        ("\nAnswer: decrease", "increase"),
        ("\nActually, costs decrease.", "increase"),
        ("\nThe final answer is not decrease.", "increase"),
    ],
)
def test_only_a_correction_behind_the_field_counts_instead_of_it(behind, stated):
    assert read(DIRECTIONS, FIELD + behind) == stated


def test_a_correction_is_ambiguous_where_the_decision_has_to_stand_in_the_field():
    reader = AnswerReader(DecisionSection(locate="field"))
    found = reader.stated(FIELD + "\nCorrection: decrease").field
    assert found is not None and found.word is None and found.reason == "ambiguous_label"


@pytest.mark.parametrize(
    ("labels", "answer", "detail"),
    [
        (LETTERS, "A/C", "the answer states 'A', 'C', and none as final"),
        (DIRECTIONS, "increase: 20%, decrease: 80%", "of 'increase', 'decrease' the answer only gives a probability"),
    ],
)
def test_the_reject_says_why(labels, answer, detail):
    decider = LabelDecider(DecisionSection.model_validate({"labels": list(labels)}))
    with pytest.raises(RowRejected, match=detail):
        decider.decided(RecordedValue(None, None), answer)


DENIALS = ["There is no increase in EPS.", "EPS is not expected to increase.", "I do not expect an increase.",
           "An increase is highly unlikely.", "Earnings will hardly increase next year."]  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(
    sentence=st.sampled_from(DENIALS),
    place=st.integers(0, 5),
    blank=st.sampled_from(["\n", "\r\n", " \n", "\n  ", "\n> ", "  ", "\t", "\u00a0", "\u202f", "&nbsp;", " <b>"]),
)
def test_no_kind_of_blank_in_a_sentence_takes_its_denial_away(sentence, place, blank):
    words = sentence.split(" ")
    place = 1 + place % (len(words) - 1)
    assert read(DIRECTIONS, " ".join(words[:place]) + blank + " ".join(words[place:])) in REASONS


@settings(max_examples=100, deadline=None)
@given(
    labels=st.sampled_from([LETTERS, YES_NO, DIRECTIONS, SENTIMENTS]),
    order=st.sampled_from([(0, 1), (1, 0)]),
    joint=st.sampled_from([", ", " and ", " & ", "; ", ", and ", " but ", ", but also ", " or ", " und ", " y ", "\n"]),
    cue=st.sampled_from(["", "Answer: ", "**Answer:** ", "The answer is ", "Final answer: "]),
    mark=st.sampled_from(["", "**", "`", '"']),
    ends=st.sampled_from(["", ".", "\n", ".\n\nCosts rise."]),
)
def test_two_labels_given_at_once_are_never_one(labels, order, joint, cue, mark, ends):
    first, second = (mark + labels[place] + mark for place in order)
    assert read(labels, cue + first + joint + second + ends) == AMBIGUOUS


@settings(max_examples=60, deadline=None)
@given(
    share=st.integers(0, 50),
    shape=st.sampled_from(
        ["P({}) = {}", "Pr({}): {}", "{}: {}", "the probability of {} is {}", "{1} chance of {0}", "{} probability: {}"]
    ),
    is_percentage=st.booleans(),
)
def test_a_share_of_up_to_a_half_states_no_label(share, shape, is_percentage):
    number = f"{share}%" if is_percentage else f"{share / 100:.2f}"
    assert read(DIRECTIONS, shape.format("increase", number)) == AMBIGUOUS
