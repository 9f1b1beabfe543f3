"""Every command of the README, and of the pages that a new reader follows, runs as it stands there."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys

import polars as pl
import pytest

from data.sentiment.tokenizer import prompt_text
from tests.fixtures.places import ROOT

BLOCKS = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.strip().splitlines()]
DEMO = ROOT / "data" / "sentiment"
NEEDS_A100 = ".venv/bin/headledger run config/full.yaml"
FOLLOWED = ("docs/first-run.md", "docs/tutorials/eps.md", "docs/tutorials/benchmark.md")
MOST_WORDS = 600


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder that looks like the repository, with runs of its own."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("engine", "analyses", "config", "data", "Makefile", "README.md"):
        (folder / name).symlink_to(ROOT / name)
    # Old enough for make to find everything installed: a test must not reinstall the environment that it runs in.
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    os.utime(folder / "pyproject.toml", (0, 0))
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def run(command, folder):
    environment = {**os.environ, "PATH": f"{folder}/.venv/bin:{os.environ['PATH']}", "PYTHONPATH": str(folder)}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)


def test_the_readme_has_the_two_commands():
    assert COMMANDS[:2] == ["make demo", "make test"]
    assert NEEDS_A100 in COMMANDS


@pytest.fixture(scope="module")
def demo(workplace):
    """What `make demo` leaves."""
    done = run(["make", "demo"], workplace)
    assert done.returncode == 0 and "Traceback" not in done.stderr, f"{done.stdout}\n{done.stderr}"
    assert "analysis/report.html" in done.stdout
    return workplace / "runs" / "demo"


@pytest.fixture(scope="module")
def records():
    return [json.loads(line) for line in (DEMO / "predictions.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def samples(demo):
    return pl.read_parquet(demo / "shards" / "*" / "samples.parquet")


@pytest.mark.usefixtures("demo")
def test_every_command_runs(workplace):
    """In order, since later ones read what `make demo` leaves; `make test` is what runs this very test."""
    for command in COMMANDS:
        if command in ("make demo", "make test"):
            continue
        if command == NEEDS_A100:
            plan = "--stage plan --predictions data/predictions_demo.json model.tokenizer=data/demo-model run.name=a100"
            done = run(shlex.split(f"{command} {plan}"), workplace)
        else:
            done = run(shlex.split(command), workplace)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, command


def test_every_row_is_in_the_tables_or_in_the_rejects(demo, samples, records):
    rejects = pl.read_parquet(demo / "rejects.parquet")
    assert sorted([*samples["sample_id"], *rejects["sample_id"]]) == sorted(row["id"] for row in records)
    readable = [row for row in records if row["predicted"] in ("positive", "negative")]
    assert samples.height == len(readable) and (demo / "_SUCCESS").exists()
    assert (demo / "analysis" / "report.html").is_file()
    by_id = {row["id"]: row for row in records}
    for row in samples.iter_rows(named=True):
        given = by_id[row["sample_id"]]
        assert (row["cluster"], row["actual_label"]) == (given["product"], given["gold"])
        assert (row["predicted_label"], row["certainty"]) == (given["predicted"], given["confidence"])
        assert row["is_correct"] == (given["gold"] == given["predicted"]) and row["year"] is None


def test_the_decision_token_is_the_label_inside_the_json_field(samples, records):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(DEMO / "model")
    by_id = {row["id"]: row for row in records}
    for row in samples.iter_rows(named=True):
        given = by_id[row["sample_id"]]
        prompt = prompt_text(tokenizer, given["prompt"])
        value = json.loads(given["response"].rsplit("\n", 1)[1])["sentiment"]
        start = len(prompt) + given["response"].rindex(f'"sentiment": "{value}"') + len('"sentiment": "')
        assert start <= row["decision_char_start"] < row["decision_char_end"] <= start + len(value)
        assert (prompt + given["response"])[row["decision_char_start"] : row["decision_char_end"]] in value
        assert row["decision_position"] >= row["num_prompt_tokens"]


def test_the_key_groups_are_the_reviews_own(demo):
    """The union of the vocabulary is named after its file, and the empty groups of other domains stay empty."""
    groups = json.loads((demo / "plan.json").read_text())["key_groups"]
    assert groups[:7] == ["sentiment", "praise", "complaint", "intensifier", "negation", "contrast", "aspect"]
    assert "random_sentiment_5" in groups and "financial" not in groups


def test_the_report_speaks_of_its_own_domain(demo):
    report = (demo / "analysis" / "analysis_summary_report.txt").read_text()
    assert "later layers show more sentiment attention" in report and "financial" not in report


def test_the_readmes_picture_shows_this_run(demo):
    said = " ".join((ROOT / "README.md").read_text().split())
    told = " ".join((demo / "analysis" / "analysis_summary_report.txt").read_text().split())
    share, number, moving, heads = re.search(
        r"right in ([\d.]+) % of (\d+) reviews, and (\d+) of its (\d+) heads move", said
    ).groups()
    assert f"The model is right in {share} % of {number} predictions" in told
    assert f"{moving} of {heads} heads intervened on move the answer's lead" in told


@pytest.mark.soak
@pytest.mark.parametrize("page", FOLLOWED)
def test_every_command_of_the_first_pages_runs(page, workplace):
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    commands = [line for block in blocks for line in block.strip().splitlines()]
    assert commands
    for command in commands:
        done = run(shlex.split(command), workplace)
        assert done.returncode == 0 and "Traceback" not in done.stderr, f"{command}\n{done.stdout}\n{done.stderr}"


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().split()) <= MOST_WORDS


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target
