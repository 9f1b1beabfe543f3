"""The committed artefacts of data/: counts, splits, the users' format, the demo model."""

import json

import polars as pl
import pyarrow.parquet as pq
import pytest
import torch

from data import answers, build_statements, generation, prompts, samples
from tests.fixtures.places import ROOT

DATA = ROOT / "data"
USER_FIELDS = [
    "company_id",
    "year",
    "actual_label",
    "predicted_direction",
    "magnitude",
    "certainty",
    "reason",
    "is_match",
    "full_model_response",
]


@pytest.fixture(scope="module")
def statements():
    return pl.read_parquet(DATA / "statements.parquet")


@pytest.fixture(scope="module")
def predictions():
    return json.loads((DATA / "predictions_demo.json").read_text())


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(DATA / "demo-model")


@pytest.fixture(scope="module")
def by_key():
    return {(s.company_id, s.year): s for s in samples.load_samples()}


def test_counts_of_the_source(statements):
    counts = build_statements.counts(statements)
    assert counts["company_years"] == 1781
    assert counts["companies"] == 448
    assert counts["next_eps_known"] == 1120
    assert counts["two_period_known"] == 715
    assert counts["two_period_companies"] == 410
    assert round(100 * counts["next_eps_increase"] / counts["next_eps_known"]) == 63


def test_readme_quotes_every_count(statements):
    readme = (DATA / "README.md").read_text()
    for name, value in build_statements.counts(statements).items():
        assert f"| `{name}` | {value:,} |" in readme, name


def test_readme_quotes_the_report():
    readme = (DATA / "README.md").read_text()
    report = json.loads((DATA / "demo_model_report.json").read_text())
    for scope in ("two_period", "all"):
        for name, row in report["heldout"][scope].items():
            assert f"{row['balanced_accuracy']:.3f}" in readme, (scope, name)
            assert f"{row['accuracy']:.3f}" in readme, (scope, name)


def test_schema_and_size(statements):
    path = DATA / "statements.parquet"
    assert pq.read_schema(path).equals(build_statements.SCHEMA)
    assert path.stat().st_size < 1_000_000
    assert not statements.select("company_id", "fiscal_year").is_duplicated().any()


def test_labels_follow_from_eps(statements):
    known = statements.filter(pl.col("next_eps").is_not_null())
    said = known.select(
        pl.when(pl.col("next_eps") > pl.col("eps"))
        .then(pl.lit("increase"))
        .when(pl.col("next_eps") < pl.col("eps"))
        .then(pl.lit("decrease"))
    ).to_series()
    assert said.equals(known["label"], check_names=False)
    assert statements.filter(pl.col("next_eps").is_null())["label"].null_count() == len(statements) - 1120


def test_a_company_is_in_one_split(statements):
    per_company = statements.group_by("company_id").agg(pl.col("split").n_unique())
    assert per_company["split"].max() == 1
    assert set(statements["split"].unique()) == {"train", "development", "heldout"}


def test_january_years_belong_to_the_year_before(statements):
    january = statements.filter(pl.col("period_end").dt.month() == 1)
    assert len(january) > 50
    assert (january["fiscal_year"] == january["period_end"].dt.year() - 1).all()


def test_predictions_have_exactly_the_users_fields(predictions, statements):
    assert 250 <= len(predictions) <= 330
    heldout = set(statements.filter(pl.col("split") == "heldout")["company_id"])
    for record in predictions:
        assert list(record) == USER_FIELDS
        assert record["company_id"] in heldout
        assert record["is_match"] == (record["predicted_direction"] == record["actual_label"])
        answer = record["full_model_response"].split("\nassistant\n", 1)[1]
        assert answers.read_answer(answer) == {k: record[k] for k in USER_FIELDS[3:7]}
    assert len({(r["company_id"], r["year"]) for r in predictions}) == len(predictions)
    assert (DATA / "predictions_demo.json").stat().st_size < 2_000_000


def test_right_and_wrong_of_both_labels(predictions):
    for label in ("increase", "decrease"):
        said = [r for r in predictions if r["predicted_direction"] == label]
        assert len(said) >= 50
        assert 10 <= sum(r["is_match"] for r in said) <= len(said) - 10


def test_transcripts_re_render_to_the_same_prompt(predictions, tokenizer, by_key):
    for record in predictions[::10]:
        sample = by_key[record["company_id"], record["year"]]
        assert prompts.periods(sample.statement) == 2
        head, answer = record["full_model_response"].split("\nassistant\n", 1)
        system, user = head.removeprefix("system\n").split("\nuser\n", 1)
        assert system == prompts.SYSTEM_PROMPT
        assert user == prompts.question(sample.statement)
        ids = generation.prompt_ids(tokenizer, user)
        assert generation.decode(tokenizer, ids) + answer == record["full_model_response"]


def test_tokenizer_splits_digits_and_keeps_special_tokens(tokenizer):
    text = "| Net Income | 29.330 | -0.004 |"
    tokens = tokenizer.convert_ids_to_tokens(tokenizer.encode(text, add_special_tokens=False))
    assert all(len(t) == 1 for t in tokens if any(c.isdigit() for c in t))
    for name in ("<|endoftext|>", "<|im_start|>", "<|im_end|>"):
        assert len(tokenizer.encode(name, add_special_tokens=False)) == 1
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_model_regenerates_recorded_answers(predictions, tokenizer, by_key):
    from transformers import AutoModelForCausalLM

    folder = DATA / "demo-model"
    assert sum(f.stat().st_size for f in folder.iterdir()) <= 6_000_000
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    config = model.config
    assert (config.num_hidden_layers, config.num_attention_heads, config.num_key_value_heads) == (6, 8, 2)
    for record in (predictions[0], predictions[len(predictions) // 2]):
        sample = by_key[record["company_id"], record["year"]]
        prompt = generation.prompt_ids(tokenizer, prompts.question(sample.statement))
        ids = generation.greedy(model, torch.tensor([prompt]), tokenizer.eos_token_id, generation.MAX_NEW_TOKENS)[0]
        assert generation.decode(tokenizer, [*prompt, *ids]) == record["full_model_response"]
