"""What stands around a stated answer, kind by kind, and the label that the answer still states."""

from __future__ import annotations

import pytest

from engine.config import DecisionSection
from engine.inputs.answers.decided import LabelDecider
from engine.inputs.answers.recorded import RecordedValue
from engine.samples import RowRejected
from tests.unit.engine.inputs.answers.test_stated import DIRECTIONS, LETTERS, YES_NO, read

SENTIMENTS = ("positive", "negative", "neutral")
KINDS = {
    "denials stay in their sentence": [
        (DIRECTIONS, "Answer: increase\n\nThe opposite is unlikely. Costs decrease.", "increase"),
        (DIRECTIONS, "Answer: increase\nCosts will not rise", "increase"),
        (DIRECTIONS, "Answer: increase - a reversal is unlikely", "increase"),
        (DIRECTIONS, "Answer: increase (unlikely to reverse)", "increase"),
        (DIRECTIONS, "Costs are not growing\nIncrease\n\nCosts decrease.", "increase"),
        (DIRECTIONS, "**Increase** is not likely", "denied_label"),
        (DIRECTIONS, "EPS is **not** expected to increase.", "denied_label"),
        (DIRECTIONS, "EPS is not **expected** to increase.", "denied_label"),
        (DIRECTIONS, "**An increase** in EPS is unlikely", "denied_label"),
        (DIRECTIONS, "Increase (unlikely)", "denied_label"),
        (DIRECTIONS, "Prediction: Increase – unlikely", "denied_label"),
        (
            DIRECTIONS,
            "Given what the company says of its costs in this year, EPS is not\nexpected to increase.",
            "denied_label",
        ),
        (("up", "down"), "Down - growth is unlikely", "down"),
        (("up", "down"), "**Down** growth is unlikely", "down"),
        (LETTERS, "Answer: B\n\n**Why the others are wrong:**\n- A ignores tax.", "B"),
        (LETTERS, "Answer: B\n\nOther choices are incorrect: C ignores tax.", "B"),
        (LETTERS, "A: wrong\nB: correct", "B"),
        (YES_NO, "Answer: No\n\nThe statement is incorrect. Yes would need profit.", "no"),
        (YES_NO, "**No** the claim is wrong", "no"),
        (SENTIMENTS, "**Negative** - the food was not good. The staff was positive.", "negative"),
        (SENTIMENTS, "**Negative** The food was not good", "negative"),
        (
            ("Anstieg", "Rückgang"),
            "Antwort: Anstieg\nDie Kosten steigen nicht. Ein Rückgang der Zinsen hilft.",
            "Anstieg",
        ),
        (("hausse", "baisse"), "Réponse : hausse\nUne chute est peu probable. La baisse des coûts aide.", "hausse"),
        (("上涨", "下跌"), "答案：下跌 增长不可能", "下跌"),
    ],
    "quoted letters": [
        (LETTERS, "The answer is 'B'.", "B"),
        (LETTERS, "'B'", "B"),
        (LETTERS, "‘C’ is right. Option A ignores tax.", "C"),
        (LETTERS, "{'answer': 'C'}", "C"),
        (LETTERS, "{'answer': 'B', 'reason': 'Option A ignores tax'}", "B"),
        (LETTERS, "answer='D'", "D"),
        (LETTERS, "The answer is ‘B’ because A ignores tax.", "B"),
        (LETTERS, "A’s margins and B's costs fall.", "no_label"),
    ],
    "linking words stay in their sentence": [
        (DIRECTIONS, "Answer: increase. And decreased costs help.", "increase"),
        (DIRECTIONS, "Answer: increase\nOr decrease if demand falls.", "increase"),
        (DIRECTIONS, "Answer: increase. And decrease in costs helps. So costs decrease.", "increase"),
        (DIRECTIONS, "EPS may increase or\ndecrease.", "ambiguous_label"),
        (YES_NO, "Yes. And no, there is no doubt.", "yes"),
        (("queda", "aumento"), "Resposta: queda\n\nO aumento dos custos operacionais pressiona as margens.", "queda"),
        (("aumento", "caída"), "Respuesta: aumento. Y la caída de costes ayuda.", "aumento"),
        (("aumento", "caída"), "aumento o caída", "ambiguous_label"),
        (("hausse", "baisse"), "Hausse. Et la baisse des coûts aide.", "hausse"),
        (("Anstieg", "Rückgang"), "Anstieg. Und der Rückgang der Kosten hilft.", "Anstieg"),
        (("Anstieg", "Rückgang"), "Anstieg oder Rückgang", "ambiguous_label"),
    ],
    "values that are no label": [
        (DIRECTIONS, "Answer: flat\n\nExplanation: costs increase", "no_label"),
        (DIRECTIONS, "Answer: flat because costs increase", "no_label"),
        (DIRECTIONS, "**Prediction:** uncertain. An increase is possible.", "no_label"),
        (DIRECTIONS, "Answer: not increase. Costs decrease.", "denied_label"),
        (DIRECTIONS, '{"direction": null, "note": "increase"}', "no_label"),
        (DIRECTIONS, '{"direction_of_eps_change": null, "note": "increase"}', "no_label"),
        (DIRECTIONS, "Answer: flat\n\nFinal answer: increase", "increase"),
        (DIRECTIONS, "Answer: The company will see an increase", "increase"),
        (DIRECTIONS, "Answer: The company will do well.\nI predict an increase.", "increase"),
        (DIRECTIONS, "Answer: because costs fall, EPS will increase", "increase"),
        (DIRECTIONS, "| Direction | Certainty |\n|---|---|\n| increase | high |", "increase"),
        (DIRECTIONS, "Trend: steady\nI predict that EPS will increase.", "increase"),
        (("up", "down"), "Direction: flat. Costs go up.", "no_label"),
        (SENTIMENTS, "Sentiment: mixed\nReason: positive food", "no_label"),
        (LETTERS, "Answer: None of the above. Option A is closest.", "no_label"),
        (("Anstieg", "Rückgang"), "Antwort: unverändert. Die Kosten zeigen einen Rückgang.", "no_label"),
        (("上涨", "下跌"), "答案：持平。成本上涨。", "no_label"),
    ],
    "corrections": [
        (DIRECTIONS, "Answer: increase\nCorrection: decrease", "decrease"),
        (DIRECTIONS, "Answer: increase\n\nEdit: I meant decrease.", "decrease"),
        (DIRECTIONS, "Answer: increase. Oops, decrease.", "decrease"),
        (DIRECTIONS, "Increase. Wait, no, it should be decrease.", "decrease"),
        (DIRECTIONS, "Answer: increase. Actually, costs decrease.", "increase"),
        (DIRECTIONS, "Answer: increase. Wait, decrease? No. Final answer: increase", "increase"),
        (LETTERS, "B. No wait, C.", "C"),
        (LETTERS, "B... actually C", "C"),
        (LETTERS, "Answer: B. Wait, C. Final answer: D", "D"),
        (("Anstieg", "Rückgang"), "Antwort: Anstieg. Korrektur: Rückgang.", "Rückgang"),
        (("hausse", "baisse"), "Réponse : hausse. Pardon, baisse.", "baisse"),
        (("上涨", "下跌"), "答案：上涨。更正：下跌。", "下跌"),
    ],
    "denied clauses": [
        (DIRECTIONS, "I don't believe that the company's EPS will increase.", "denied_label"),
        (DIRECTIONS, "I don't believe that EPS will increase, it will decrease.", "decrease"),
        (DIRECTIONS, "I do not doubt that EPS will increase.", "increase"),
        (DIRECTIONS, "There is no reason to expect an increase.", "denied_label"),
        (DIRECTIONS, "There is little chance of an increase.", "denied_label"),
        (DIRECTIONS, "Would EPS increase? Unlikely.", "denied_label"),
        (DIRECTIONS, "EPS increase: No", "denied_label"),
        (DIRECTIONS, "Increase: No\nDecrease: Yes", "decrease"),
        (SENTIMENTS, "The tone is less positive than negative.", "denied_label"),
        (("steigt", "fällt"), "Ich glaube nicht, dass der Gewinn steigt.", "denied_label"),
        (("steigt", "fällt"), "Es ist unwahrscheinlich, dass der Gewinn im nächsten Jahr steigt.", "denied_label"),
        (("steigt", "fällt"), "Der Gewinn steigt keineswegs.", "denied_label"),
        (("hausse", "baisse"), "Je ne pense pas que l'on verra une hausse des bénéfices.", "denied_label"),
        (("aumento", "caída"), "No creo que haya un aumento.", "denied_label"),
        (("positivo", "negativo"), "Non credo che il sentimento sia positivo.", "denied_label"),
        (("aumento", "queda"), "Não acredito que haja um aumento.", "denied_label"),
        (("рост", "падение"), "Я не думаю, что будет рост.", "denied_label"),
        (("上涨", "下跌"), "我不认为股价会上涨。", "denied_label"),
        (("上涨", "下跌"), "上涨概率低", "denied_label"),
    ],
    "wrong answers": [
        (DIRECTIONS, "The wrong answer is increase.", "denied_label"),
        (LETTERS, "The incorrect option is A.", "denied_label"),
        (DIRECTIONS, "Answer: ~~increase~~ decrease", "decrease"),
        (YES_NO, "No it does not.", "no"),
    ],
    "shares": [
        (SENTIMENTS, '{"positive": 0.1, "negative": 0.8, "neutral": 0.1}', "ambiguous_label"),
        (YES_NO, "Yes: 20%, No: 80%", "ambiguous_label"),
        (YES_NO, "Yes: 20%, No: 80%\nAnswer: No", "no"),
    ],
    "parts of speech": [
        (("да", "нет"), "У компании нет долгов.", "no_label"),
        (("да", "нет"), "Нет сомнений: да.", "да"),
        (("да", "нет"), "Ответ: нет. Долги растут.", "нет"),
        (("да", "нет"), "Нет, прибыль упадет.", "нет"),
        (("نعم", "لا"), "لا يوجد دليل.", "no_label"),
        (("نعم", "لا"), "لا، لن ترتفع الأرباح.", "لا"),
        (("是", "否"), "这是一个问题。", "no_label"),
        (("是", "否"), "答案是：是。", "是"),
        (("是", "否"), "是的，公司会增长。", "是"),
        (("是", "否"), "是", "是"),
        (("si", "no"), "No sé si es así.", "no_label"),
        (("si", "no"), "Creo que si.", "si"),
        (LETTERS, "The temperature is 20 °C.", "no_label"),
        (("up", "down"), "The company made up 20% of sales.", "no_label"),
    ],
}
CASES = [(kind, *case) for kind, cases in KINDS.items() for case in cases]


@pytest.mark.parametrize(
    ("labels", "answer", "stated"),
    [case[1:] for case in CASES],
    ids=[f"{case[0].replace(' ', '-')}-{i}" for i, case in enumerate(CASES)],
)
def test_what_stands_around_the_answer(labels, answer, stated):
    assert read(labels, answer) == stated


def test_signs_of_a_long_line_belong_to_the_label_behind_them():
    """The line begins with a sign far before the labels; and a line of very many labels is read."""
    far = "[ ] " + "other words, " * 60
    labels = ("increase", "decrease")
    assert read(labels, f"{far} [ ] increase [x] decrease") == "decrease"
    assert read(labels, f"{far} [x] increase [ ] decrease") == "increase"
    assert read(labels, "It is." + " increase" * 2_000) == "increase"


def test_the_reject_names_the_value_that_is_no_label():
    decider = LabelDecider(DecisionSection())
    answer = "Answer: flat\n\nExplanation: costs increase"
    with pytest.raises(RowRejected, match="'flat', which is none of the labels"):
        decider.decided(RecordedValue(None, None), answer)
    with pytest.raises(RowRejected, match="'flat', which is none of the labels") as refused:
        decider.decided(RecordedValue("increase", "increase"), answer)
    assert refused.value.reason == "no_decision"
