import json
import math
import random

import polars as pl

from engine.encoding.random_vocabulary import WordCensus, mean_overlap
from engine.encoding.terms import Terms
from engine.run import main
from tests.fixtures.predictions import records

WORDS = [f"word{chr(97 + i)}{chr(97 + j)}" for i in range(12) for j in range(10)]


def texts(seed=0):
    """Texts whose first half holds one set of words and whose second half another, with frequencies from 1 to 40."""
    rng = random.Random(seed)
    early, late = WORDS[:60], WORDS[60:]
    weights = [40 / (1 + index % 40) for index in range(60)]
    return [
        " ".join([*rng.choices(early, weights, k=60), *rng.choices(late, weights, k=60), "net income", "eps"])
        for _ in range(30)
    ]


def random_vocabularies(made, pattern, number, seed):
    census = WordCensus(pattern)
    for text in made:
        census.add(text)
    return census.draw(number, seed)


def facts(made, words):
    counts = [sum(text.split().count(word) for text in made) for word in words]
    places = [text.split().index(word) / 120 for text in made for word in words if word in text.split()]
    return sum(counts), sum(places) / len(places)


def test_matched_in_frequency_and_position():
    made = texts()
    original = WORDS[5:15]
    drawn = random_vocabularies(made, Terms(original), 20, seed=3)
    count, place = facts(made, original)
    for words in drawn:
        assert len(words) == len(set(words)) == len(original) and not set(words) & set(original)
        other_count, other_place = facts(made, words)
        assert abs(math.log(other_count / count)) < 0.5 and abs(other_place - place) < 0.15
    assert len({tuple(words) for words in drawn}) > 10


def test_seeded_and_independent_of_the_number_drawn():
    made, pattern = texts(), Terms(WORDS[:5])
    five = random_vocabularies(made, pattern, 5, seed=1)
    assert five == random_vocabularies(made, pattern, 5, seed=1) == random_vocabularies(made, pattern, 8, seed=1)[:5]
    assert five != random_vocabularies(made, pattern, 5, seed=2)


def test_words_of_the_vocabulary_are_never_drawn_even_where_they_stand_alone():
    made = ["net income and income or other things net of words", "income"]
    (drawn,) = random_vocabularies(made, Terms(["net income"]), 1, seed=0)
    assert not {"net", "income"} & set(drawn) and drawn


def test_parts_of_identifiers_are_no_words():
    text = "eps rises, direction_of_change <|im_start|> alone"
    (drawn,) = random_vocabularies([text], Terms(["eps"]), 1, seed=0)
    assert set(drawn) <= {"rises", "alone"}


def test_too_few_words_give_a_smaller_vocabulary():
    assert random_vocabularies(["a b"], Terms(["a", "b"]), 2, seed=0) == [[], []]


def test_random_groups_are_measured_in_the_same_pass(config_file):
    wanted = ["statistics.random_groups=2", "statistics.query_groups=[decision]"]
    assert main([str(config_file), *wanted, "--stage", "collect"]) == 0
    run = config_file.parent / "runs" / "test"
    plan = json.loads((run / "plan.json").read_text())
    assert plan["key_groups"][-2:] == ["random_financial_1", "random_financial_2"]
    first, second = plan["random_vocabularies"].values()
    assert first and second and first != second and "income" not in first
    stats = pl.read_parquet(run / "shards" / "*" / "head_stats.parquet")
    assert stats["mass_random_financial_1"].min() >= 0 and stats["mass_random_financial_1"].max() > 0
    samples = pl.read_parquet(run / "shards" / "*" / "samples.parquet")
    assert (samples["count_random_financial_1"] > 0).all()


def test_words_of_the_chat_template_are_no_candidates(config_file, predictions_file):
    rows = [
        {
            **row,
            "full_model_response": row["full_model_response"]
            .replace("The assistant notes", "We note")
            .replace("You are a helpful assistant.", "Be brief."),
        }
        for row in records(12)
    ]
    predictions_file.write_text(json.dumps(rows))
    assert main([str(config_file), "statistics.random_groups=20", "--stage", "plan"]) == 0
    plan = json.loads((config_file.parent / "runs" / "test" / "plan.json").read_text())
    drawn = {word for words in plan["random_vocabularies"].values() for word in words}
    assert drawn and not drawn & {"assistant", "user", "system"}


def test_a_random_group_by_name(config_file):
    groups = "key_groups={money: {vocabulary: [profit]}, other: {random_like: money}, rest: {complement_of: other}}"
    assert main([str(config_file), groups, "statistics.query_groups=[all]", "--stage", "collect"]) == 0
    stats = pl.read_parquet(config_file.parent / "runs" / "test" / "shards" / "*" / "head_stats.parquet")
    assert ((stats["mass_other"] + stats["mass_rest"]) - 1).abs().max() < 1e-5 and stats["mass_other"].max() > 0


def test_vocabularies_that_overlap_are_measured_and_warned_of(config_file, tmp_path):
    assert mean_overlap([["a", "b"], ["b", "c"]]) == 1 / 3 and mean_overlap([["a"]]) == mean_overlap([]) == 0
    rows = records(4)
    for row in rows:  # a prompt of few words: every random vocabulary must be made of the same ones
        answer = row["full_model_response"].partition("\nassistant\n")[2]
        row["full_model_response"] = f"user\nEPS profit sales debt?\nassistant\n{answer[answer.index('```') :]}"
    path = tmp_path / "few.json"
    path.write_text(json.dumps(rows))
    assert main([str(config_file), f"predictions.path={path}", "statistics.random_groups=3", "--stage", "plan"]) == 0
    plan = json.loads((config_file.parent / "runs" / "test" / "plan.json").read_text())
    assert any("random vocabularies share" in warning for warning in plan["warnings"])
