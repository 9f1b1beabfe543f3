"""Which word of an answer holds the decision, and what a reject says."""

from __future__ import annotations

import pytest

from engine.config import DecisionSection
from engine.inputs.answers.decided import LabelDecider
from engine.inputs.answers.recorded import RecordedValue
from engine.samples import RowRejected
from tests.unit.engine.inputs.answers.test_stated import DIRECTIONS, read


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ("It could be an increase or a decrease. EPS will not increase.", 0),
        ("Maybe increase, maybe decrease. An increase seems as likely as a decrease.", 1),
    ],
    ids=["not a denied one", "the last one"],
)
def test_a_recorded_label_is_decided_at_a_word_of_its_own(answer, wanted):
    found = LabelDecider(DecisionSection()).decided(RecordedValue("increase", "increase"), answer)
    places = [place for place in range(len(answer)) if answer.startswith("increase", place)]
    assert (found.label, found.source, found.word.start) == ("increase", "field", places[wanted])


@pytest.mark.parametrize(
    ("recorded", "answer", "reason", "words"),
    [
        ("<Increase/Decrease>", "Nothing is known.", "template_echo", "recorded label is the template itself"),
        (None, "EPS increase is unlikely.", "denied_label", r"without denying it \('increase'\)"),
    ],
)
def test_a_reject_says_what_was_met(recorded, answer, reason, words):
    with pytest.raises(RowRejected, match=words) as rejected:
        LabelDecider(DecisionSection()).decided(RecordedValue(recorded, None), answer)
    assert rejected.value.reason == reason


@pytest.mark.parametrize(
    ("labels", "answer", "expected"),
    [
        (("rise", "fall"), "In fall 2024 results improve.", "no_label"),
        (("hold", "sell"), "We hold assets.", "no_label"),
        (("positive", "negative"), "It has negative energy throughout.", "ambiguous_label"),
        (DIRECTIONS, "EPS to increase, sources report.", "ambiguous_label"),
        (DIRECTIONS, "EPS will increase, analysts believe.", "ambiguous_label"),
    ],
)
def test_words_that_state_no_label(labels, answer, expected):
    assert read(labels, answer) == expected
