"""The config's ``causal`` section: what is off, what is refused, which heads and windows it stands for."""

from __future__ import annotations

import pytest
import yaml

from engine.causal.targets import targets, windows
from engine.config import AblationSection, AmplificationSection, CausalSection, Config, load_config
from engine.errors import ConfigError
from engine.model.facts import ModelFacts
from engine.planning.checks import check_layers
from tests.fixtures.places import ROOT
from tests.unit.engine.config.test_config import write

PATHS = {"predictions": {"path": "p"}, "model": {"path": "m"}}


def test_every_part_is_off_unless_it_is_given(tmp_path):
    assert not Config.model_validate(PATHS).causal.is_on
    config, _ = load_config(write(tmp_path, causal={"max_samples": 3, "ablation": None}))
    assert not config.causal.is_on
    config, _ = load_config(write(tmp_path, causal={"attribution": {}, "knockout": {"window": 3}}))
    causal = config.causal
    assert causal.is_on and causal.attribution is not None and causal.ablation is None
    assert causal.knockout is not None and causal.knockout.rows == "decision"
    assert Config.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("causal", "words"),
    [
        ({"ablaton": {}}, ["causal.ablaton", "did you mean causal.ablation"]),
        ({"attribution": {"on": True}}, ["causal.attribution.on", "unknown key"]),
        ({"ablation": {"replce": "mean"}}, ["causal.ablation.replce", "did you mean causal.ablation.replace"]),
        ({"ablation": {"replace": "median"}}, ["causal.ablation.replace", "'zero', 'mean' or 'resample'", "median"]),
        ({"ablation": {"heads": "some"}}, ["causal.ablation.heads", "use all, {top: k} or a list of [layer, head]"]),
        ({"ablation": {"heads": [[1, 2, 3]]}}, ["causal.ablation.heads", "names no heads"]),
        ({"ablation": {"heads": []}}, ["causal.ablation.heads", "names no heads"]),
        ({"ablation": {"unit": "set"}}, ["causal.ablation", "needs heads as a list"]),
        ({"ablation": {"unit": "layer", "heads": {"top": 2}}}, ["causal.ablation", "use unit: head"]),
        ({"amplification": {"factors": []}}, ["causal.amplification.factors"]),
        ({"knockout": {"window": 0}}, ["causal.knockout.window"]),
        ({"patching": {"counterfactual": "double"}}, ["causal.patching.counterfactual", "'swap_periods', 'scale'"]),
        ({"patching": {"counterfactual": "replace"}}, ["causal.patching", "value is what `replace`"]),
        ({"patching": {"counterfactual": "scale", "value": "7"}}, ["causal.patching", "only there"]),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path, causal, words):
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, causal=causal))
    assert all(word in str(caught.value) for word in words), caught.value


def test_heads_outside_the_model_are_refused():
    config = Config.model_validate({**PATHS, "causal": {"ablation": {"heads": [[0, 0], [27, 27], [31, 0]]}}})
    with pytest.raises(ConfigError) as caught:
        check_layers(config, ModelFacts(num_layers=28, num_heads=28))
    assert str(caught.value) == "causal.ablation.heads[2]: layer 31 is outside 0..27 for this model (28 layers)."
    check_layers(config, ModelFacts())  # a dry run may not know the model
    config = Config.model_validate({**PATHS, "causal": {"ablation": {"heads": [[3, 0], [2, 1]]}}})
    with pytest.raises(ConfigError, match=r"causal\.ablation\.heads\[1\]: layer 2 has no heads.* as are 0, 2\."):
        check_layers(config, ModelFacts(num_layers=4, num_heads=2, headless_layers=(0, 2)))


def test_targets_of_each_unit():
    def members(**settings):
        return [t.members for t in targets(AblationSection(**settings), 4, {0: 2, 1: 1}, [(1, 3), (0, 2)])]

    assert members() == [((layer, head),) for layer in range(2) for head in range(4)]
    assert members(heads=[(1, 2), (0, 1), (1, 2)]) == [((0, 1),), ((1, 2),)]
    assert members(heads={"top": 1}) == [((0, 2),), ((1, 3),)]
    assert members(heads=[(1, 2), (0, 1)], unit="set") == [((0, 1), (1, 2))]
    assert members(heads=[(0, 3)], unit="layer") == [((0, 0), (0, 1), (0, 2), (0, 3))]
    assert members(heads=[(0, 3), (0, 2)], unit="kv_group") == [((0, 2), (0, 3))]
    assert members(unit="kv_group") == [((0, 0), (0, 1)), ((0, 2), (0, 3)), ((1, 0), (1, 1), (1, 2), (1, 3))]
    (target,) = targets(AmplificationSection(heads=[(1, 2), (0, 1)], unit="set"), 4, {0: 2, 1: 2})
    assert (target.layer, target.head) == (None, None)
    assert target.by_layer() == {0: (1,), 1: (2,)}


def test_windows_cover_every_layer_once():
    assert windows(4, 1) == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert windows(6, 5) == [(0, 2), (0, 3), (0, 4), (1, 5), (2, 5), (3, 5)]
    assert windows(2, 9) == [(0, 1)]


def test_what_must_be_known_of_all_samples():
    def section(**parts):
        return CausalSection.model_validate(parts)

    assert section(ablation={"replace": "mean", "rows": "decision"}).mean_rows == "decision"
    assert section(ablation={"replace": "zero"}).mean_rows is None
    assert section(ablation={"replace": "resample"}).needs_partners
    assert section(ablation={"heads": {"top": 3}}, amplification={"heads": {"top": 5}}).num_screened == 5
    assert section(knockout={}).num_screened == 0


def test_the_commented_section_of_the_full_config_is_one_that_works():
    lines = (ROOT / "config" / "full.yaml").read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("# causal:"))
    section = [line[2:] for line in lines[start:] if line.startswith("#")]
    settings = CausalSection.model_validate(yaml.safe_load("\n".join(section))["causal"])
    assert all(getattr(settings, name) is not None for name in CausalSection.model_fields)
