"""Values that mean one label without its spelling: truths of yes and no, ratings on the scale of the labels."""

from __future__ import annotations

import re

import pytest

from engine.config import DecisionSection
from engine.inputs.answers.cued.truths import with_truths
from engine.inputs.answers.decided import LabelDecider
from engine.inputs.answers.recorded import RecordedValue
from engine.inputs.answers.stated import AnswerReader
from engine.samples import RowRejected
from tests.unit.engine.inputs.answers.test_stated import ONE_ZERO, REASONS, YES_NO, read

SCALE = ("1", "2", "3", "4", "5")
TRUTHS = {
    "yes": [
        '{"answer": true}', '{"prediction": true, "confidence": 0.9}', '{"answer": [true]}', "<answer>true</answer>",
        "Answer: True", "answer = true", "# Answer\ntrue", r"\boxed{true}", "True", "Answer: y", "The answer is true.",
        "Answer: true, because profits rise.", '{"answer": true, "reason": "It is false that costs fell."}',
        "True\n\nThe company will raise its dividend.",
    ],
    "no": ["answer: false", "**Answer:** false", "{'answer': False}", "False.", 'answer: "false"', "Answer: N"],
}  # fmt: skip
UNTRUE = [
    "Answer: true or false", "true/false", "Answer: not true", "It is true that costs rose.",
    '{"answer": [true, false]}',
    '{"answer": true, "answer": false}', "False\n\nYes", "True, costs rose.", '{"is_fraud": true}', "Answer: untrue",
    "Answer: true, I mean false", '{"answer": 1}', "0",
]  # fmt: skip
RATINGS = {
    "4": [
        "4/5", '"4 out of 5"', "(4/5)", "4 of 5", "4 out of 5 stars", "Score: 4", "score=4", "Grade: 4",
        "**Score**: 4/5", "Score → 4", "<score>4</score>", '{"score": 4}', '{"clarity": 2, "score": 4}', "Score: 4.0",
        "Score: 4 points", "Rating: 4 ⭐", "Score (1-5): 4", "Score [1-5]: 4", "On a scale of 1 to 5: 4", "Out of 5: 4",
        "The score is 4 out of 5.", "I give it 4/5.", "4/5, because growth is strong", "4 (out of 5)",
        "Overall score: 4",
        "Score: 4\nConfidence: 2/5", "Clarity: 2/5\nScore: 4/5", "Score: 2/5\nFinal score: 4/5", '{"rating": "4/5"}',
        "Bewertung: 4 von 5", "Note : 4 sur 5", "Puntuación: 4 de 5", "Voto: 4 su 5", "Nota: 4 de 5", "Оценка: 4 из 5",
        "评分：4/5", "スコア: 4", "5点満点中4点", "점수: 4", "التقييم: 4 من 5", "5 üzerinden 4",
        "स्कोर: 4", "Skor: 4 dari 5",
    ],
}  # fmt: skip
UNRATED = [
    "3-4 out of 5", "3 to 4 out of 5", "3 or 4", "Score: 3, maybe 4", "Score: 4-5", "Scores: 4, 2", "between 3 and 4",
    "★★★★☆",
    "7 out of 10", "Score: 7/10", "4/10", "Score: 3.5/5", "Score: 0/5", "Score: 6", "80%", "4/5 analysts agree.",
    "4 of 5 quarters were positive.", "4/5/2023", "Clarity: 4/5\nDepth: 2/5", "Score: 4\n\nScore: 2", "EPS: 3",
    '{"score": 4, "scale": 10}', "Customer rating: 4", "Their rating is 4 out of 5.", "Previous score: 3", "3. Growth",
    '{"confidence": 4}', "Analysts rate it 4/5.",
]  # fmt: skip


@pytest.mark.parametrize(("label", "answer"), [(label, text) for label, texts in TRUTHS.items() for text in texts])
def test_a_truth_is_yes_or_no(label, answer):
    assert read(YES_NO, answer) == label


@pytest.mark.parametrize("answer", UNTRUE)
def test_what_is_no_value_of_truth_states_nothing(answer):
    assert read(YES_NO, answer) in REASONS


@pytest.mark.parametrize(
    ("answer", "opposite"),
    [('{"answer": true}', "false"), ("Answer: True", "false"), ("Answer: y", "n"), ("yes", "no"), ("nope", "yes")],
)
def test_the_opposite_of_a_truth_stands_at_its_place(answer, opposite):
    labels = {"yes": ["yes"], "no": ["no", "nope"], "open": ["maybe"]}
    word = AnswerReader(DecisionSection.model_validate({"labels": labels})).stated(answer).text.word
    assert word is not None
    other = next(label for label in ("no", "yes") if label != word.label)
    assert with_truths(labels)[other][word.spelling] == opposite
    assert with_truths(labels)["open"][word.spelling] == "maybe"


@pytest.mark.parametrize(
    ("labels", "answer", "stated"),
    [
        (("true", "false"), "Answer: yes", "true"),
        (("true", "false"), "No", "false"),
        (ONE_ZERO, '{"answer": true}', "1"),
        (ONE_ZERO, "Answer: yes", None),
        (ONE_ZERO, "Score: 1", None),
        (("0", "1", "2"), '{"answer": true}', None),
        (("yes", "no", "maybe"), "Answer: false", "no"),
        (("A", "B", "T"), "Answer: true", None),
    ],
)
def test_a_truth_counts_where_it_means_one_label(labels, answer, stated):
    found = read(labels, answer)
    assert found == stated if stated else found in REASONS


@pytest.mark.parametrize(("label", "answer"), [(label, text) for label, texts in RATINGS.items() for text in texts])
def test_a_rating_on_the_scale_of_the_labels_is_its_number(label, answer):
    assert read(SCALE, answer) == label


@pytest.mark.parametrize("answer", UNRATED)
def test_a_rating_of_several_numbers_or_on_another_scale_states_nothing(answer):
    assert read(SCALE, answer) in REASONS


@pytest.mark.parametrize("answer", ['{"score": "4 out of 5"}', '{"score": 4.0}', "score: 4/5"])
def test_the_field_holds_a_rating(answer):
    assert read(SCALE, answer, field="score") == "4"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("7 out of 10", "states '7 out of 10', which is none of the labels"),
        ("3-4 out of 5", "states '3-4 out of 5', which names '3', '4'"),
        ("Score: 3.5", "states '3.5', which is none"),
    ],
)
def test_a_rating_that_is_no_label_is_named(answer, said):
    decider = LabelDecider(DecisionSection.model_validate({"labels": list(SCALE)}))
    with pytest.raises(RowRejected, match=re.escape(said)):
        decider.decided(RecordedValue(None, None), answer)
