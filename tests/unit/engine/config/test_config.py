from pathlib import Path

import pytest
import yaml

from engine.config import DecisionSection, load_config
from engine.config.yaml_text import read_yaml_text
from engine.errors import ConfigError
from tests.fixtures.places import ROOT


def write(tmp_path, **sections):
    tree = {"predictions": {"path": "p.json"}, "model": {"path": "m"}, **sections}
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


@pytest.mark.parametrize("name", ["demo", "debug", "full"])
def test_shipped_configs_are_valid(name):
    config, fingerprints = load_config(ROOT / "config" / f"{name}.yaml")
    assert config.run.name and fingerprints == {}


def test_full_pins_one_replica_per_a100():
    config, _ = load_config(ROOT / "config" / "full.yaml")
    assert config.model.path == "Qwen/Qwen2-7B-Instruct" and config.model.dtype == "bfloat16"
    assert (config.cluster.gpus_per_replica, config.cluster.accelerator_type) == (1, "A100")


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"statistcs": {}}, ["statistcs", "did you mean statistics"]),
        ({"cluster": {"tokens_per_bach": 1}}, ["cluster.tokens_per_bach", "did you mean cluster.tokens_per_batch"]),
        ({"predictions": {"path": "p", "fields": {"clutser": "x"}}}, ["did you mean predictions.fields.cluster"]),
        ({"cluster": {"mode": "cloud"}}, ["cluster.mode", "'inline', 'local' or 'auto'", "cloud"]),
        ({"cluster": {"replicas": 0}}, ["cluster.replicas: 0 is not allowed; allowed: a whole number from 1 or null"]),
        ({"decision": {"contrast": ["increase", "fall"]}}, ["decision", "'fall'", "decrease"]),
        ({"decision": {"contrast": ["increase", "increase"]}}, ["two different labels"]),
        ({"decision": {"labels": {"up": ["x"], "down": ["X"]}, "contrast": ["up", "down"]}}, ["spelling", "both"]),
        ({"key_groups": {"a": {"regex": "x", "segment": "system"}}}, ["key_groups.a", "exactly one of"]),
        ({"predictions": {"path": "p", "balance": ["sector"]}}, ["balance", "'sector'", "predictions.keep"]),
        ({"predictions": {"path": "p", "filter": {"year": {"from": 1}}}}, ["filter", "min, max, not"]),
        ({"predictions": {"path": "p", "filter": {"filed": {"min": "last year"}}}}, ["filter.filed", "1990-12-31"]),
        ({"predictions": {"path": "p", "filter": {"filed": {"min": 1, "max": "1990-12-31"}}}}, ["filter.filed"]),
        ({"model": {}}, ["model.path", "required"]),
    ],
)
def test_errors_name_file_path_value_and_remedy(tmp_path, sections, words):
    path = write(tmp_path, **sections)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    for word in words:
        assert word in message


def test_yes_and_no_are_words(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("predictions: {path: p}\nmodel: {path: m}\ndecision: {labels: {yes: [yes], no: [no], maybe: []}}\n")
    config, _ = load_config(path)
    assert config.decision.labels == {"yes": ["yes"], "no": ["no"], "maybe": ["maybe"]}
    assert config.decision.contrast == "said_vs_best_other"


def test_overrides_are_yaml_and_win(tmp_path):
    config, _ = load_config(write(tmp_path, run={"name": "a"}), ["run.name=b", "statistics.query_groups=[all]"])
    assert config.run.name == "b" and config.statistics.query_groups == ["all"]


@pytest.mark.parametrize("override", ["run.name", "=x", "run.seed.deep=1", "run.name=[a"])
def test_bad_overrides_are_refused(tmp_path, override):
    with pytest.raises(ConfigError):
        load_config(write(tmp_path, run={"seed": 1}), [override])


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(ConfigError, match="no such config file"):
        load_config(tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1,\n b")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_config(broken)
    broken.write_text("- 1")
    with pytest.raises(ConfigError, match="must hold sections"):
        load_config(broken)


def test_paths_may_be_relative_to_the_config(tmp_path):
    (tmp_path / "p.json").write_text("[]")
    config, _ = load_config(write(tmp_path))
    assert config.predictions.path == str(tmp_path / "p.json")
    assert config.model.path == "m"


@pytest.mark.parametrize("attention", ["auto", "blocked", "fused"])
def test_every_backend_can_be_named(tmp_path, attention):
    config, _ = load_config(write(tmp_path), [f"model.attention={attention}"])
    assert config.model.attention == attention


def test_an_unknown_backend_is_refused_with_those_there_are(tmp_path):
    with pytest.raises(ConfigError, match=r"model.attention.*'auto', 'blocked' or 'fused'"):
        load_config(write(tmp_path), ["model.attention=flash"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cluster: {replicas: 2}\nrun: {name: a}\ncluster: {mode: inline}", "'cluster' stands twice, in lines 1 and 3"),
        ("run:\n  name: a\n  name: b", "'name' stands twice, in lines 2 and 3"),
        ("zz: " + "[" * 5000 + "]" * 5000, "is nested too deeply to be read"),
        ("zz: " + "9" * 5000, "holds a value that cannot be read"),
        ("zz: 2020-13-45", "holds a value that cannot be read"),
        ("a: [", "is not valid YAML"),
    ],
    ids=["a section", "a key", "deep", "digits", "date", "syntax"],
)
def test_yaml_that_would_silently_mean_something_else_is_refused(tmp_path, text, words):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError) as refused:
        load_config(tmp_path / "c.yaml")
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_what_a_merge_overrides_does_not_stand_twice():
    text = "a: &a {x: 1, y: 2}\nb: &b {<<: *a, x: 3}\nc: {<<: [*a, *b], 'x': yes}"
    assert read_yaml_text(text) == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 3, "y": 2},
        "c": {"x": "yes", "y": 2},
    }


def test_two_labels_are_a_pair_and_more_are_compared_with_the_likeliest_other():
    pair, more = DecisionSection(labels=["a", "b"]), DecisionSection(labels=["a", "b", "c"])
    assert (pair.contrast, pair.pair) == (["a", "b"], ("a", "b"))
    assert (more.contrast, more.pair) == ("said_vs_best_other", None)
    assert DecisionSection(labels=["a", "b", "c"], contrast=["c", "a"]).pair == ("c", "a")
    with pytest.raises(ValueError, match="'best'; give two labels, or one of said_vs_best_other"):
        DecisionSection(contrast="best")


def test_examples_and_vocabularies_have_names(tmp_path, monkeypatch):
    """From any folder: a config of the package by its name, its paths inside the package, vocabularies by name."""
    from engine.config.examples import EXAMPLES, example_names, vocabulary_file, vocabulary_names
    from engine.encoding.vocabulary import load_vocabulary, union_name

    monkeypatch.chdir(tmp_path)
    assert {"demo", "full", "quiz", "eps"} <= set(example_names())
    config, _ = load_config("eps")
    assert config.predictions.path == str(EXAMPLES / "data" / "predictions_demo.json")
    assert (config.model.path, config.vocabulary) == (str(EXAMPLES / "data" / "demo-model"), "financial")
    assert load_vocabulary("financial") == load_vocabulary(str(ROOT / "config" / "vocabulary" / "financial.yaml"))
    assert union_name("financial") == "financial" and vocabulary_file("my/words.yaml") == Path("my/words.yaml")
    monkeypatch.chdir(ROOT)  # the same run as by config/demo.yaml
    assert load_config("demo")[0] == load_config("config/demo.yaml")[0]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").write_text("predictions: {path: own}\nmodel: {path: own}\n")  # a file of that name comes first
    assert load_config("demo")[0].predictions.path == "own"
    with pytest.raises(ConfigError, match=", ".join(vocabulary_names())):
        load_vocabulary("finance")
