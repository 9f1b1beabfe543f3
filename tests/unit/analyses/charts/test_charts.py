"""Charts at the size of a real model, in both themes."""

import json
import re
from copy import deepcopy

import pytest
import vl_convert

from analyses.charts.files import vegalite_version, write_chart
from analyses.charts.themes import THEMES
from analyses.questions.differences.figures import MAX_POINTS
from analyses.reporting import content
from analyses.reporting.chapters import make_figures
from analyses.reporting.write import analyze
from analyses.wording import count_text, difference_text, p_text, statistic_label, value_text, visible_token
from tests.fixtures.synthetic_run import add_causes, add_metadata, add_texts, write_run


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """28 x 28 heads as in Qwen2-7B."""
    path = tmp_path_factory.mktemp("runs") / "large"
    write_run(path, num_samples=12, num_layers=28, num_heads=28, num_clusters=12, num_shards=1, top_keys=1)
    choices = {"permutations": 0, "decodability": False, "confirmation_fraction": 0.0}
    add_metadata(path, {"analysis": choices, "visualization": {"formats": []}})
    add_causes(path, 28, 28)
    add_texts(path, num_tokens=2600)
    made = []
    with pytest.MonkeyPatch.context() as kept:
        kept.setattr(content, "make_figures", lambda answers: made.append(make_figures(answers)) or deepcopy(made[0]))
        return analyze(path).report, *made[0]


@pytest.fixture(scope="module")
def figures(large):
    _, made, absent = large
    assert set(absent) == {"attributions", "decodability", "replication"}, "turned off above, or not in this run"
    return {figure.name: figure for figure in made}


def test_a_page_of_784_heads_and_long_texts_stays_small(large):
    assert large[0].stat().st_size < 10_000_000


@pytest.mark.parametrize(("theme", "every"), [("light", 1), ("dark", 4)], ids=["light", "dark"])
def test_charts_render_in_every_theme(figures, theme, every, tmp_path):
    """Each in one, and in the other, which changes colours alone, one of each kind of chart's neighbours."""
    for figure in list(figures.values())[::every]:
        (path,) = write_chart(figure.specification | {"config": THEMES[theme]}, figure.title, tmp_path / theme, ["svg"])
        content = path.read_text()
        assert "NaN" not in content and THEMES[theme]["background"] in content, figure.name


def test_every_head_is_a_cell_and_few_enough_points_are_drawn(figures):
    def marks(name, role):
        scene = vl_convert.vegalite_to_svg(
            figures[name].specification, vl_version=vegalite_version(figures[name].specification)
        )
        return scene.count(f'aria-roledescription="{role}"')

    assert marks("head_map", "rect mark") == 784
    assert marks("difference_map", "rect mark") == 784
    assert marks("head_type_map", "rect mark") == 784
    assert marks("causal_map", "rect mark") == 784
    assert 0 < marks("volcano", "point") <= MAX_POINTS


def test_choosing_another_statistic_changes_the_map(figures):
    specification = json.loads(json.dumps(figures["head_map"].specification))
    drawn = []
    for statistic in ("mass_profit", "entropy_nats"):
        for parameter in specification["params"]:
            if parameter["name"] == "chosen_statistic":
                assert statistic in parameter["bind"]["options"]
                parameter["value"] = statistic
        drawn.append(vl_convert.vegalite_to_svg(specification, vl_version=vegalite_version(specification)))
    assert "Weight on profit terms" in drawn[0] and "Entropy (nats)" in drawn[1]


@pytest.mark.parametrize(
    ("name", "chosen", "written"),
    [
        ("head_map", "mass_profit", r">[\d.]+\xa0%<"),
        ("head_map", "entropy_nats", r">[\d.]+<"),
        ("difference_map", "mass_profit", r">[+−][\d.]+ points<"),
        ("difference_map", "entropy_nats", r">[+−][\d.]+<"),
    ],
)
def test_legends_have_the_unit_of_the_chosen_statistic(figures, name, chosen, written):
    changed = deepcopy(figures[name].specification)
    (parameter,) = [one for one in changed["params"] if one["name"] == "chosen_statistic"]
    parameter["value"] = chosen
    drawn = vl_convert.vegalite_to_svg(changed | {"config": THEMES["light"]}, vl_version=vegalite_version(changed))
    legend = drawn[drawn.index('class="mark-group role-legend"') :]
    labels = re.findall(r">[^<>]*\d[^<>]*<", legend)
    assert [label for label in labels if re.fullmatch(written, label)], labels


def test_difference_colours_reach_as_far_on_both_sides(figures):
    text = json.dumps(figures["difference_map"].specification)
    assert '"domainMin": {"expr": "-{' in text and '"domainMax": {"expr": "{' in text and '"domainMid": 0' in text


def test_guides_are_paragraphs(figures):
    for figure in figures.values():
        assert len(figure.guide) > 100 and figure.guide.endswith(".")


def test_words_and_numbers():
    assert statistic_label("mass_balance_sheet") == "Weight on balance sheet terms"
    assert statistic_label("norm_mass_number") == "Norm-weighted weight on numbers"
    assert value_text("mass_profit", 0.1234) == "12.3 %" and value_text("mass_profit", 0.00012) == "0.012 %"
    assert (
        difference_text("mass_profit", -0.0412) == "-4.1 points"
        and difference_text("entropy_nats", 0.5) == "+0.50 nats"
    )
    assert value_text("mean_distance", None) == "unknown" and value_text("entropy_normalized", 0.25) == "0.25"
    assert p_text(0.00001) == "p < 0.0001" and p_text(0.0312) == "p = 0.031" and p_text(None) == "p unknown"
    assert count_text(1, "company") == "1 company" and count_text(2000, "company") == "2,000 companies"
    assert (
        visible_token(" net\n") == "␣net\\n"
        and visible_token(" " * 20) == "␣×20"
        and len(visible_token("x" * 100)) == 24
        and visible_token("") == "(empty)"
    )
