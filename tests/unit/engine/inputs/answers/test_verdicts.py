"""Labels that are met beside the verdict: in adjuncts, of something else, of others, in nested objects, in names."""

from __future__ import annotations

import pytest

from engine.config import DecisionSection
from engine.inputs.answers.decided import LabelDecider
from engine.inputs.answers.recorded import RecordedValue
from engine.samples import RowRejected
from tests.unit.engine.inputs.answers.test_stated import DIRECTIONS, LETTERS, REASONS, YES_NO, read

UP_DOWN = ("up", "down")
GRADES = ("correct", "incorrect")
SENTIMENTS = ("positive", "negative", "neutral")
FIELD = "direction_of_eps_change"
NOT_STATED = {
    "adjuncts": [
        (
            DIRECTIONS,
            [
                *("Prediction: EPS will be higher as costs decrease", "Prediction: Up (decrease in costs)"),
                *("Answer: Higher, with a decrease in costs.", "Prediction: rebound from last year's decrease"),
                "My prediction is that EPS will drop given the increase in interest expense",
                "Earnings will decline next year. The main driver is an increase in competition.",
                "Prediction: EPS should improve thanks to the decrease in input prices",
                "Final answer: profits shrink amid an increase in competition",
                "Therefore, EPS will probably be flat after last year's increase.",
                "EPS will go up, helped by a decrease in taxes.",
                *("Therefore, EPS will drop while costs increase.", "Increase in costs will push EPS down."),
                *("I expect the loss per share to increase.", "I'm bearish: expenses will increase."),
            ],
        ),
        (UP_DOWN, ["Costs are up, so earnings will fall.", "Sales are up 5%. I expect the stock to fall."]),
        (
            DIRECTIONS,
            [
                f'{{"{FIELD}": "{value}"}}'
                for value in (
                    *(
                        "down due to increase in costs",
                        "flat/increase",
                        "Lower. Costs increase.",
                        "EPS falls (cost increase)",
                    ),
                    "steady, maybe a slight decrease",
                )
            ],
        ),
        (("steigen", "sinken"), ["Daher wird der Gewinn zurückgehen, während die Kosten steigen."]),
        (("hausse", "diminution"), ["En conclusion, le BPA reculera avec la hausse des coûts."]),
        (("aumento", "disminución"), ["En conclusión, el BPA caerá por el aumento de los costos."]),
        (("aumento", "diminuzione"), ["In conclusione, l'EPS scenderà per l'aumento dei costi."]),
        (("aumento", "redução"), ["Em conclusão, o LPA cairá com o aumento dos custos."]),
        (("рост", "падение"), ["Таким образом, прибыль сократится на фоне того, что рост затрат ускорился."]),
        (
            ("增加", "减少"),
            ["因此，每股收益将走低，成本增加。", "收入增加，因此每股收益将走低。", "由于成本增加，利润将下滑。"],
        ),
        (("増加", "減少"), ["したがって、コストの増加によりEPSは低下すると予測します。"]),
        (("증가", "감소"), ["따라서 비용 증가로 EPS는 줄어들 것으로 예상됩니다."]),
        (("वृद्धि", "कमी"), ["लागत में वृद्धि के कारण आय घटेगी।"]),
        (("artış", "azalış"), ["Maliyetlerdeki artış nedeniyle kâr gerileyecek."]),
        (("زيادة", "انخفاض"), ["لذلك ستتراجع الأرباح مع زيادة التكاليف."]),
    ],
    "consequences": [
        (
            DIRECTIONS,
            ["EPS trend: negative; cost trend: increase", "EPS has increased. As a result, leverage will decrease."],
        ),
    ],
    "others": [
        (
            DIRECTIONS,
            [
                "Analysts predict EPS will increase, but the data suggest otherwise.",
                "Wall Street expects an increase, but margins look weak.",
            ],
        ),
        (YES_NO, ["She said no.", "The witness answered yes.", "Is it safe? Yes\nIs it legal? No"]),
    ],
    "refusals": [
        (
            DIRECTIONS,
            [
                "I'm sorry, but I can't help with predicting an increase.",
                *("It is not possible to predict an increase.", "I am unable to predict whether EPS will increase."),
                "There is not enough information to determine an increase.",
            ],
        ),
    ],
    "denials": [
        (
            DIRECTIONS,
            ["The company is unable to increase EPS.", "I expect the decrease to end.", "The increase has ended."],
        ),
        (("aumentar", "disminuir"), ["No creo que vaya a aumentar."]),
        (("aumento", "disminución"), ["No veo razones para un aumento."]),
        (("crescita", "calo"), ["Non credo ci sarà una crescita."]),
        (("steigt", "sinkt"), ["Der Gewinn steigt keinesfalls."]),
        (("Anstieg", "Rückgang"), ["Ein Anstieg bleibt aus."]),
        (("上升", "下降"), ["上升趋势已经结束。"]),
        (("entailment", "contradiction"), ["Entailment is too strong.", "Entailment fails here."]),
        (("supports", "refutes"), ["Nothing in the text supports the claim."]),
    ],
    "set phrases": [
        (UP_DOWN, ["Let me break it down. I expect growth.", "The company paid down debt. EPS will rise."]),
        (("positive", "negative"), ["The patient tested positive for COVID.", "HER2-negative"]),
        (("对", "错"), ["对不起，我不知道。"]),
        (("예", "아니오"), ["예를 들어 보겠습니다."]),
        (("涨", "跌"), ["止跌回升"]),
        (("fear", "joy"), ["I fear that I cannot answer."]),
        (("high", "low"), ["At a high level, the risk is manageable."]),
        (GRADES, ["The correct answer is Paris."]),
    ],
    "letters": [
        (
            LETTERS,
            [
                *("Answer: Amphotericin B", "The drug of choice is amphotericin B.", "The patient has hemophilia A."),
                *("Answer: Influenza A", "Answer: Protein C", "The current is 2 A.", "The temperature is 37 C."),
                *("Answer: 25 C", "Therefore, the thief is person C.", "Everything but D", "Answer: Interleukin A"),
            ],
        ),
    ],
    "objects": [
        (
            DIRECTIONS,
            [
                f'{{"{FIELD}": "increase"}}\n{{"{FIELD}": "decrease"}}',
                f'{{"bull": {{"{FIELD}": "increase"}}, "bear": {{"{FIELD}": "decrease"}}}}',
            ],
        ),
    ],
}
CASES = [(kind, *case) for kind, cases in NOT_STATED.items() for case in cases]


@pytest.mark.parametrize(
    ("labels", "answers"),
    [case[1:] for case in CASES],
    ids=[f"{case[0].replace(' ', '-')}-{i}" for i, case in enumerate(CASES)],
)
def test_a_label_beside_the_verdict_states_nothing(labels, answers):
    read_as = {answer: read(labels, answer) for answer in answers}
    assert {answer: found for answer, found in read_as.items() if found not in REASONS} == {}


STATED = [
    (DIRECTIONS, "EPS is expected to increase, driven by a decrease in costs.", "increase"),
    (DIRECTIONS, "Due to a decrease in costs, EPS will increase.", "increase"),
    (DIRECTIONS, "With costs falling, I expect EPS to increase.", "increase"),
    (DIRECTIONS, "Because revenue fell, EPS will decrease.", "decrease"),
    (DIRECTIONS, "The company will likely see an increase in its earnings.", "increase"),
    (DIRECTIONS, "Lower costs will increase earnings.", "increase"),
    (DIRECTIONS, "Higher interest expense will likely decrease EPS.", "decrease"),
    (DIRECTIONS, "Sales are growing, but higher costs will lead to a decrease in EPS.", "decrease"),
    (DIRECTIONS, "EPS fell in 2020 and 2021. I predict an increase.", "increase"),
    (DIRECTIONS, "EPS will grow by 5%, so the answer is increase.", "increase"),
    (DIRECTIONS, "I expect EPS to increase. I also expect debt to decrease.", "increase"),
    (DIRECTIONS, "The direction of EPS change is increase. Hence leverage will decrease.", "increase"),
    (DIRECTIONS, f'{{"{FIELD}": "Increase due to lower costs"}}', "increase"),
    (DIRECTIONS, f'{{"{FIELD}": "EPS is expected to increase"}}', "increase"),
    (DIRECTIONS, f'{{"{FIELD}": "decrease", "history": [{{"{FIELD}": "increase"}}]}}', "decrease"),
    (DIRECTIONS, f'{{"prior": {{"{FIELD}": "increase"}}, "{FIELD}": "decrease",}}', "decrease"),
    (DIRECTIONS, f'{{"{FIELD}": "decrease"}}\n\nIf rates fall, it would be {{"{FIELD}": "increase"}}.', "decrease"),
    (DIRECTIONS, f'Draft: {{"{FIELD}": "increase"}}\nFinal: {{"{FIELD}": "decrease"}}', "decrease"),
    (DIRECTIONS, f'{{"{FIELD}": "decrease", "r": "\\"{FIELD}\\": \\"increase\\" was it"}}', "decrease"),
    (DIRECTIONS, "A naive model would predict increase. The data suggests decrease.", "decrease"),
    (DIRECTIONS, "It is less probable that EPS will decrease than that it will increase.", "increase"),
    (GRADES, "The response is incorrect. The correct answer is Paris.", "incorrect"),
    (GRADES, "The correct answer is Paris, the student said London. Grade: incorrect", "incorrect"),
    (GRADES, "Final grade: incorrect. The correct answer is Paris.", "incorrect"),
    (GRADES, "The answer is correct.", "correct"),
    (YES_NO, "extracted_final_answer: No\n\nreasoning: matches\n\ncorrect: yes", "yes"),
    (YES_NO, "A typical person would answer yes. I'd say no.", "no"),
    (YES_NO, "( ) Yes (x) No", "no"),
    (YES_NO, "Yes, actually no.", "no"),
    (("はい", "いいえ"), "答えはいいえです", "いいえ"),
    (("はい", "いいえ"), "判定はいいえ", "いいえ"),
    (("はい", "いいえ"), "答えははいです", "はい"),
    (LETTERS, "Students often pick B. D is correct.", "D"),
    (LETTERS, "Coenzyme A is the answer. Option C", "C"),
    (LETTERS, "\\boxed{A} no wait \\boxed{C}", "C"),
    (LETTERS, "The correct answer is option D, hepatitis B vaccine.", "D"),
    (LETTERS, "I would go with C.", "C"),
    (LETTERS, "A risposta: la C", "C"),
    (UP_DOWN, "The company set up a plant; shares will go down.", "down"),
]


@pytest.mark.parametrize(("labels", "answer", "stated"), STATED, ids=[f"{i}" for i in range(len(STATED))])
def test_the_verdict_is_read_all_the_same(labels, answer, stated):
    assert read(labels, answer) == stated


NESTED = [
    ("sentiment", '{"sentiment":"negative","aspects":[{"aspect":"food","sentiment":"positive"}]}', "negative"),
    ("sentiment", "Overall sentiment: negative\nFood sentiment: positive", "negative"),
    ("sentiment", 'The sentiment is negative. {"sentiment": "positive"}', "positive"),
    ("label", '[{"label":"positive"},{"label":"negative"}]', "ambiguous_label"),
    ("label", '{"label":"neutral","tokens":{"a":{"label":"positive"}}} because …', "neutral"),
]


@pytest.mark.parametrize(("field", "answer", "stated"), NESTED, ids=[f"{i}" for i in range(len(NESTED))])
def test_the_outermost_key_is_the_answers_own(field, answer, stated):
    assert read(SENTIMENTS, answer, field=field) == stated


def test_no_decision_sits_on_the_drivers_word():
    decider = LabelDecider(DecisionSection())
    with pytest.raises(RowRejected, match="only aside") as refused:
        decider.decided(RecordedValue("increase", "increase"), "EPS will rise because of the increase in sales.")
    assert refused.value.reason == "no_decision"


def test_the_reject_names_the_value_that_has_its_label_aside():
    with pytest.raises(RowRejected, match="'Higher, with a decrease in costs', which names 'decrease', but"):
        LabelDecider(DecisionSection()).decided(RecordedValue(None, None), "Answer: Higher, with a decrease in costs.")
