"""What is said under a condition, in every language that is known."""

from __future__ import annotations

import time

import pytest

from engine.inputs.answers.unstated.supposed import conditional
from engine.inputs.answers.words import LabelWord
from tests.unit.engine.inputs.answers.test_stated import DIRECTIONS, LETTERS, REASONS, YES_NO, read

CONDITIONS = [
    "If costs fall, EPS will increase.",
    "EPS will increase if costs fall.",
    "Unless costs rise, EPS will increase.",
    "EPS will increase unless costs rise.",
    "Should margins recover, EPS will increase.",
    "Therefore, if costs fall, EPS will increase.",
    "Were costs to fall, EPS would increase.",
    "EPS will increase as long as sales grow.",
    "If so, EPS will increase.",
    "Provided that costs fall, EPS will increase.",
    "In case costs fall, EPS will increase.",
    "Barring a recession, EPS will increase.",
    "I predict that EPS will increase if demand recovers.",
    "If costs fall, EPS will increase. If they rise, it will decrease.",
    "EPS is expected to increase only if costs stay under control.",
    "The answer is increase if costs fall.",
    "If the trend reverses, EPS will increase.",
    "If unexpected orders come, EPS will increase.",
    "If all else fails, EPS will increase.",
    "Barring a surprise loss, EPS will increase.",
    "Without a recovery in demand, EPS will increase.",
    "EPS will increase without a recovery in demand.",
    "In the absence of a recovery, EPS will increase.",
    "Absent further cost cuts, EPS will increase.",
    "Failing a recovery, EPS will increase.",
    "I predict that, without a rebound, EPS will increase.",
    "Without a rebound EPS will decrease; with one, it will increase.",
    "Depending on demand, EPS will increase.",
    "Only with a recovery will EPS increase.",
]
MET = [
    "If I had to choose: increase",
    "If forced to choose, I would say increase.",
    "If you ask me, EPS will increase.",
    "Even if costs rise, EPS will increase.",
    "EPS will increase even if costs rise.",
    "EPS will increase, if only slightly.",
    "If anything, EPS will increase.",
    "If we look at the data, EPS will increase.",
    "Whether or not costs rise, EPS will increase.",
    "Once the merger closes, EPS will increase.",
    "Given that costs fall, EPS will increase.",
    "If costs rise, EPS will decrease, but I expect EPS to increase.",
    "EPS will increase. If costs rise, EPS may decrease.",
    "EPS will increase because, if costs fall, margins improve.",
    "If costs rise, EPS will decrease. I predict an increase.",
    "Prediction: if costs fall, EPS will increase.",
    "EPS is likely to increase if current trends continue.",
    "If this trend holds, EPS will increase.",
    "Barring unforeseen events, EPS will increase.",
    "Barring any major surprises, EPS will increase.",
    "All else being equal, EPS will increase.",
    "EPS will increase as long as nothing unexpected happens.",
    "Without a doubt, EPS will increase.",
    "EPS will increase without doubt.",
    "In the absence of other information, EPS will increase.",
    "Without further data, I predict an increase.",
    "Without access to guidance, I predict an increase.",
    "Absent any guidance, I expect an increase.",
    "Without taking one-off items into account, EPS will increase.",
    "Even without a recovery, EPS will increase.",
    "EPS will increase without interruption.",
    "The company sold more without raising prices. I predict an increase.",
    "Prediction: without a recovery, increase",
    '{"direction_of_eps_change": "increase if costs fall"}',
]
ELSEWHERE = [
    (
        "steigen",
        "Wenn die Kosten sinken, wird der Gewinn steigen.",
        "Selbst wenn die Kosten zunehmen, wird der Gewinn steigen.",
    ),
    (
        "steigen",
        "Erholt sich die Nachfrage, wird der Gewinn steigen.",
        "Seit die Nachfrage anzieht, wird der Gewinn steigen.",
    ),
    ("Anstieg", "Falls die Nachfrage anhält, erwarte ich einen Anstieg.", "Wenn ich mich entscheiden müsste: Anstieg"),
    (
        "augmentera",
        "Si les coûts baissent, le bénéfice augmentera.",
        "Même si les coûts montent, le bénéfice augmentera.",
    ),
    ("hausse", "En cas de reprise, je prévois une hausse.", "Si je devais choisir : hausse"),
    (
        "aumentará",
        "El beneficio aumentará si la demanda se mantiene.",
        "Incluso si suben los costos, el beneficio aumentará.",
    ),
    ("aumenterà", "Se i costi scendono, l'utile aumenterà.", "Anche se i costi salgono, l'utile aumenterà."),
    ("aumentará", "Caso a demanda se recupere, o lucro aumentará.", "Mesmo que os custos subam, o lucro aumentará."),
    ("вырастет", "Если затраты уменьшатся, прибыль вырастет.", "Даже если затраты возрастут, прибыль вырастет."),
    ("增加", "如果成本降低，每股收益将增加。", "如果必须选择：增加"),
    ("増加", "需要が回復すれば、EPSは増加する。", "利益は増加するかもしれない。"),
    ("증가", "수요가 회복되면 EPS는 증가할 것이다.", "비용이 늘더라도 EPS는 증가할 것이다."),
    ("artacak", "Maliyetler azalırsa kâr artacak.", "Maliyetler yükselse bile kâr artacak."),
    ("artacak", "Talep canlanması halinde kâr artacak.", "Seçmem gerekirse: artacak"),
    ("naik", "Jika biaya berkurang, laba akan naik.", "Meskipun biaya bertambah, laba akan naik."),
    ("سترتفع", "سترتفع الأرباح إذا تعافى الطلب.", "حتى لو زادت التكاليف، سترتفع الأرباح."),
    ("steigen", "Wenn der Trend kippt, wird der Gewinn steigen.", "Wenn der Trend anhält, wird der Gewinn steigen."),
    (
        "augmentera",
        "Si la tendance s'inverse, le bénéfice augmentera.",
        "Si la tendance actuelle se poursuit, le bénéfice augmentera.",
    ),
    (
        "aumentará",
        "Si la tendencia cambia, el beneficio aumentará.",
        "Si la tendencia actual continúa, el beneficio aumentará.",
    ),
    ("aumenterà", "Se la tendenza cambia, l'utile aumenterà.", "Se la tendenza attuale continua, l'utile aumenterà."),
    ("aumentará", "Se a tendência mudar, o lucro aumentará.", "Se a tendência atual continuar, o lucro aumentará."),
    ("增加", "如果趋势逆转，每股收益将增加。", "如果趋势持续，每股收益将增加。"),
    ("増加", "傾向が変われば、EPSは増加する。", "この傾向が続けば、EPSは増加する。"),
    ("증가", "추세가 바뀌면 EPS는 증가할 것이다.", "추세가 지속되면 EPS는 증가할 것이다."),
    ("steigen", "Ohne neue Aufträge wird der Gewinn steigen.", "Ohne Frage wird der Gewinn steigen."),
    ("steigen", "Der Gewinn wird ohne neue Aufträge steigen.", "Auch ohne neue Aufträge wird der Gewinn steigen."),
    ("augmentera", "Le bénéfice augmentera sans reprise des ventes.", "Sans plus de données, le bénéfice augmentera."),
    ("augmentera", "Faute de reprise, le bénéfice augmentera.", "Sans aucun doute, le bénéfice augmentera."),
    ("aumentará", "Sin nuevos pedidos, el beneficio aumentará.", "Sin embargo, el beneficio aumentará."),
    ("aumenterà", "In assenza di una ripresa, l'utile aumenterà.", "Senza altri dati, l'utile aumenterà."),
    ("aumentará", "Sem novos contratos, o lucro aumentará.", "Sem dúvida, o lucro aumentará."),
    ("вырастет", "При отсутствии новых заказов прибыль вырастет.", "Без сомнения, прибыль вырастет."),
    ("增加", "在没有需求复苏的情况下，每股收益将增加。", "在没有更多信息的情况下，我预计每股收益将增加。"),
    ("増加", "需要の回復なしには、利益は増加する。", "追加情報なしに判断すると、利益は増加する。"),
    ("증가", "수요 회복 없이는 이익이 증가할 것이다.", "의심의 여지 없이 이익은 증가할 것이다."),
    ("증가", "수요 회복 없이 이익이 증가할 것이다.", "이익은 끊임없이 증가할 것이다."),
    ("artacak", "Talepte toparlanma olmadan kâr artacak.", "Talepte toparlanma olmadan da kâr artacak."),
    ("naik", "Tanpa pemulihan permintaan, laba akan naik.", "Tanpa ragu, laba akan naik."),
    ("سترتفع", "بدون تعافي الطلب سترتفع الأرباح.", "بدون شك، سترتفع الأرباح."),
    ("बढ़ेगी", "मांग में सुधार के बिना आय बढ़ेगी।", "मांग में सुधार के बिना भी आय बढ़ेगी।"),
    ("बढ़ेगी", "अगर लागत कम होती है, तो आय बढ़ेगी।", "भले ही लागत बढ़े, आय बढ़ेगी।"),
]


@pytest.mark.parametrize("answer", CONDITIONS)
def test_a_condition_alone_states_nothing(answer):
    assert read(DIRECTIONS, answer) in REASONS


@pytest.mark.parametrize("answer", MET)
def test_a_condition_that_is_granted_or_met_lets_the_label_count(answer):
    assert read(DIRECTIONS, answer) == "increase"


@pytest.mark.parametrize(("word", "supposed", "said"), ELSEWHERE)
def test_conditions_of_other_languages(word, supposed, said):
    labels = (word, "Rückgang")
    assert read(labels, supposed) in REASONS
    assert read(labels, said) == word


@pytest.mark.parametrize(
    ("labels", "answer", "stated"),
    [
        (LETTERS, "If the law applies, A is correct.", None),
        (LETTERS, "B, if the law applies.", None),
        (LETTERS, "If pressed, B.", "B"),
        (YES_NO, "Yes, if audited.", None),
        (YES_NO, "Yes, even if costs rise.", "yes"),
        (YES_NO, "If I must decide: yes.", "yes"),
        (("si", "no"), "Creo que si.", "si"),
    ],
)
def test_conditions_of_letters_and_truths(labels, answer, stated):
    found = read(labels, answer)
    assert found == stated if stated else found in REASONS


@pytest.mark.parametrize(("repeated", "end"), [("increase ", "if x"), ("if      ", "increase")], ids=["labels", "ifs"])
def test_conditions_of_a_long_part_are_found_in_linear_time(repeated, end):
    def seconds(number: int) -> float:
        text = repeated * number + end
        starts = [9 * place for place in range(number)] if repeated.startswith("increase") else [8 * number]
        words = [LabelWord("increase", 0, start, start + 8) for start in starts]
        before = time.process_time()
        conditional(text, words, ("en",))
        return time.process_time() - before

    seconds(10)  # compiles
    assert any(seconds(12_000) < 10 * seconds(3_000) + 0.02 for _ in range(4))
