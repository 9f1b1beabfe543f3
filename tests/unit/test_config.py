import pytest
import yaml

from analyses.settings import AnalysisSettings
from analyses.visualization_settings import VisualizationSettings
from engine.config import AnalysisSection, VisualizationSection
from engine.config_file import load_config
from engine.errors import ConfigError
from tests.conftest import ROOT


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
        ({"cluster": {"replicas": 0}}, ["cluster.replicas", "greater than or equal to 1"]),
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


def test_yes_and_no_are_words_and_the_first_two_labels_are_contrasted(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("predictions: {path: p}\nmodel: {path: m}\ndecision: {labels: {yes: [yes], no: [no], maybe: []}}\n")
    config, _ = load_config(path)
    assert config.decision.labels == {"yes": ["yes"], "no": ["no"], "maybe": ["maybe"]}
    assert config.decision.contrast == ["yes", "no"]


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


def test_analysis_defaults_are_those_of_the_analyses():
    """Both packages state the defaults, since analyses may not import the config; they must not drift apart."""
    settings = AnalysisSettings.from_mapping({})
    for name, value in AnalysisSection().model_dump().items():
        if name != "head_types":
            ours = getattr(settings, name)
            assert (list(ours) if isinstance(ours, tuple) else ours) == value, name
    assert AnalysisSettings.from_mapping(AnalysisSection().model_dump()) == settings
    assert VisualizationSettings.from_mapping(
        VisualizationSection().model_dump()
    ) == VisualizationSettings.from_mapping({})


@pytest.mark.parametrize("attention", ["auto", "blocked", "fused"])
def test_every_backend_can_be_named(tmp_path, attention):
    config, _ = load_config(write(tmp_path), [f"model.attention={attention}"])
    assert config.model.attention == attention


def test_an_unknown_backend_is_refused_with_those_there_are(tmp_path):
    with pytest.raises(ConfigError, match=r"model.attention.*'auto', 'blocked' or 'fused'"):
        load_config(write(tmp_path), ["model.attention=flash"])
