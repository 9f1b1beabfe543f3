"""The second domain: reviews, their small Llama, its recorded predictions, and a run over them."""

from __future__ import annotations

import json
from collections import Counter

import pytest
import torch
import yaml

from data.sentiment import predict, reviews, train, words
from data.sentiment.tokenizer import SPECIAL_TOKENS, prompt_text
from data.small_llama import answers
from tests.fixtures.places import ROOT

FOLDER = ROOT / "data" / "sentiment"
FIELDS = ["id", "product", "gold", "predicted", "confidence", "prompt", "response"]


@pytest.fixture(scope="module")
def records():
    return [json.loads(line) for line in (FOLDER / "predictions.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def report():
    return json.loads((FOLDER / "report.json").read_text())


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(FOLDER / "model")


def test_the_rule_of_a_review_worked_by_hand():
    """Although (-1) … but for the main clause (+2 x 1); hearsay nothing; a strong negated praise (-2); overall (+3)."""
    product = reviews.products()[0]
    opinions = (
        reviews.Opinion("sound", "poor", -1, 1, False),
        reviews.Opinion("bass", "great", 1, 2, False),
        reviews.Opinion("price", "not good at all", -1, 2, True),
        reviews.Opinion("product", "solid", 1, 3, False),
    )
    review = reviews.Review("x", product, "", opinions, frozenset())
    assert (review.score, review.label) == (2, "positive")
    assert review.answer == 'It says "solid" about the product.\n{"sentiment": "Positive", "confidence": "Low"}'


def test_weights_of_written_reviews_follow_the_stated_rule():
    written = [reviews.write_review(product, 0) for product in reviews.products()]
    seen = Counter()
    for review in written:
        assert review.score != 0
        for opinion in review.opinions:
            strong = opinion.phrase.endswith("at all") or opinion.phrase.split()[0] in words.INTENSIFIERS
            sentence = next(s for s in review.text.split(". ") if opinion.phrase in s and _about(opinion) in s)
            after = sentence.partition(", but the " if ", but the " in sentence else ", the ")[2]
            is_main = bool(after) and after.startswith(opinion.aspect)
            factor = 3 if opinion.aspect == "product" else 2 if is_main else 1
            assert opinion.weight == factor * (1 + strong), (review.text, opinion)
            stem = opinion.phrase.split()[-1] if not opinion.phrase.endswith("at all") else opinion.phrase.split()[1]
            praises = stem in (*words.PRAISE, *words.LIKING)
            assert praises != (stem in (*words.COMPLAINTS, *words.DISLIKING))
            assert opinion.sign == (1 if praises != opinion.is_negated else -1)
            seen[factor, strong, opinion.is_negated] += 1
    assert len(seen) == 12


def _about(opinion):
    return opinion.phrase if opinion.aspect == "product" else opinion.aspect


def test_the_generator_is_seeded():
    first, second = (reviews.heldout_reviews() for _ in range(2))
    assert first == second
    product = reviews.products()[3]
    assert reviews.write_review(product, 1).text != reviews.write_review(product, 2).text


def test_products_are_split_and_training_never_sees_a_heldout_one(report):
    every = reviews.products()
    heldout = {product.name for product in every if product.is_heldout}
    assert (len(every), len(heldout)) == (240, 48)
    seen = reviews.training_reviews(report["training"]["reviews"])
    assert len({review.review_id for review in seen}) == len(seen) == train.STEPS * train.BATCH
    assert not heldout & {review.product.name for review in seen}
    assert not {review.text for review in seen} & {review.text for review in reviews.heldout_reviews()}


def test_predictions_are_those_of_the_heldout_reviews(records, report):
    expected = reviews.heldout_reviews()
    assert len(records) == len(expected) == 240
    assert [predict.record(review, row["response"]) for review, row in zip(expected, records, strict=True)] == records
    assert all(list(row) == FIELDS for row in records)
    assert set(Counter(row["product"] for row in records).values()) == {reviews.REVIEWS_PER_HELDOUT}
    measured = predict.measure(expected, records)
    assert measured == {name: report[name] for name in measured}
    assert 0.75 <= measured["heldout"]["accuracy"] <= 0.92


def test_the_readme_quotes_the_report(report):
    section = (ROOT / "data" / "README.md").read_text().split("## Sentiment", 1)[1]
    training = report["training"]
    rows = {"demo model": report["heldout"], **report["rules"], **report["with"], **report["by_sum"]}
    for name, row in rows.items():
        low, high = row["interval"]
        assert f"{row['right']} of {row['reviews']} | {row['accuracy']:.3f} ({low:.3f}–{high:.3f}) |" in section, name
    for quoted in (
        f"{report['parameters']:,} parameters",
        f"{report['vocabulary']:,} tokens",
        f"{training['reviews']:,} reviews",
        f"{report['same_quotes']} of {report['heldout']['reviews']} answers",
        f"{report['unreadable']} could not be read",
    ):
        assert quoted in section, quoted


def test_the_loaded_tokenizer_is_the_saved_one(tokenizer, records):
    """AutoTokenizer may put its own pre-tokenizer in place of the file's; ids and offsets must be the file's."""
    from tokenizers import Tokenizer

    saved = Tokenizer.from_file(str(FOLDER / "model" / "tokenizer.json"))
    texts = [prompt_text(tokenizer, row["prompt"]) + row["response"] for row in records]
    for text in [*texts, "Café é 12345  don't\n\n\t“q”", " lead", "x<|eot_id|>y"]:
        coded, wanted = tokenizer(text, return_offsets_mapping=True), saved.encode(text)
        assert coded["input_ids"] == wanted.ids
        assert [tuple(pair) for pair in coded["offset_mapping"]] == wanted.offsets
        assert tokenizer.decode(wanted.ids) == text
    assert all(len(tokenizer.encode(name)) == 1 for name in SPECIAL_TOKENS)


def test_the_model_gives_the_recorded_answers_again(tokenizer, records):
    from transformers import AutoModelForCausalLM, LlamaForCausalLM

    folder = FOLDER / "model"
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 1_500_000
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    assert isinstance(model, LlamaForCausalLM)
    chosen = reviews.heldout_reviews()[::48]
    assert answers(model, tokenizer, chosen, predict.MAX_NEW_TOKENS) == [row["response"] for row in records[::48]]


def test_the_vocabulary_holds_the_generators_words():
    vocabulary = yaml.safe_load((ROOT / "config" / "vocabulary" / "sentiment.yaml").read_text())
    aspects = {aspect for _, own in words.KINDS.values() for aspect in own} | set(words.COMMON_ASPECTS)
    assert vocabulary["praise"] == [*words.PRAISE, *words.LIKING]
    assert vocabulary["complaint"] == [*words.COMPLAINTS, *words.DISLIKING]
    assert vocabulary["aspect"] == sorted(aspects)
    assert set(words.INTENSIFIERS) < set(vocabulary["intensifier"])
    assert all(any(term in frame for term in vocabulary["negation"]) for frame in words.NEGATIONS)
