"""One colour per meaning in all charts, readable on both papers."""

import json
import re

import polars as pl
import pytest

from analyses.charts import heads, intervals
from analyses.charts.parts import Menus, category_scale, specification
from analyses.charts.themes import theme_of_files
from analyses.design import DARK, LIGHT, MEANINGS, colours_of, contrast, style_sheet
from analyses.settings.visualization import VisualizationSettings
from tests.fixtures.places import ROOT

STYLE = VisualizationSettings()


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_has_the_contrast_of_wcag_aa(theme):
    for text in (theme.ink, theme.muted, theme.accent):
        assert contrast(text, theme.paper) >= 4.5 and contrast(text, theme.card) >= 4.5
    assert contrast(theme.warn, theme.warn_paper) >= 4.5


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_is_readable_on_the_heaviest_token(theme):
    """Style sheets lay the shade over the paper with 0.85 times the weight."""
    shade = [int(part) for part in theme.shade.split(",")]
    paper = [int(theme.paper[at : at + 2], 16) for at in (1, 3, 5)]
    mixed = [round(0.85 * one + 0.15 * other) for one, other in zip(shade, paper, strict=True)]
    assert contrast(theme.ink, "#" + "".join(f"{part:02x}" for part in mixed)) >= 4.5


@pytest.mark.parametrize("name", MEANINGS)
def test_marks_are_seen_on_both_papers(name):
    assert min(contrast(MEANINGS[name], theme.paper) for theme in (LIGHT, DARK)) >= 3


def test_contrast_is_that_of_wcag():
    """Black on white is 21 to 1, and #777777 on white the well-known 4.48."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


def test_a_meaning_has_its_colour_wherever_it_stands():
    assert colours_of(["correct", "incorrect"]) == colours_of(["incorrect", "correct"])[::-1]
    assert colours_of(["all", "correct", "incorrect"])[1:] == [MEANINGS["correct"], MEANINGS["incorrect"]]
    types = ["financial", "causal", "mixed"]
    assert len(set(colours_of(types))) == 3 and colours_of(types)[1] == MEANINGS["causal"]


def test_names_without_a_meaning_are_never_coloured_as_right_or_wrong():
    colours = colours_of([f"name {number}" for number in range(8)])
    taken = MEANINGS["correct"], MEANINGS["incorrect"]
    assert len(set(colours)) == 8 and all(contrast(colour, LIGHT.paper) >= 3 for colour in colours)
    assert all(_distance(colour, other) > 30 for colour in colours for other in taken)


def _distance(one, other):
    """Return how far two colours lie apart in red, green and blue, 0 to 441."""
    return sum((int(one[at : at + 2], 16) - int(other[at : at + 2], 16)) ** 2 for at in (1, 3, 5)) ** 0.5


def test_groups_that_are_compared_can_be_told_apart():
    assert contrast(MEANINGS["correct"], MEANINGS["incorrect"]) > 1.1
    for names in (["supported", "contradicted", "mixed evidence", "not decided"], ["heads", "no heads", "control"]):
        assert len({MEANINGS[name] for name in names}) == len(names)


def test_a_scheme_of_the_users_wins():
    own = VisualizationSettings.from_mapping({"color_schemes": {"categorical": "dark2"}})
    assert category_scale(own, ["correct"]).to_dict()["scheme"] == "dark2"


def test_more_is_the_same_colour_on_every_map_of_differences():
    menus = Menus({"all": "All"}, {"x": "X"}, ("all", "x"))
    frame = pl.DataFrame({"comparison": ["c"], "query_group": ["all"], "layer": [0], "head": [0], "x": [1.0]})
    frame = frame.with_columns(pl.lit(1.0).alias("x@p"), pl.lit(0).alias("x@mark"))
    limits = {"c": {"all": {"x": 1.0}}}
    made = [
        heads.difference_map(frame, STYLE, comparisons={"c": "a minus b"}, menus=menus, limits=limits, subtitle=[""])
    ]
    cause = pl.DataFrame(
        {"cause": ["c"], "layer": [0], "head": [0], "mean": [1.0], "limit": [1.0], "is_certain": [True]}
    )
    made.append(heads.causal_map(cause, STYLE, causes={"c": "C"}, start="c", subtitle=[""]))
    for chart in made:
        assert '"scheme": "blueorange", "reverse": true' in json.dumps(specification(chart)) or re.search(
            r'"reverse": true, "scheme": "blueorange"', json.dumps(specification(chart))
        )


def test_charts_take_their_colours_from_the_design():
    frame = pl.DataFrame(
        {
            "target": ["t"] * 2,
            "shown": ["heads", "margin"],
            "kind": ["heads", "no heads"],
            "auroc": [0.6, 0.5],
            "ci_low": [0.5, 0.4],
            "ci_high": [0.7, 0.6],
            "num_samples": [9, 9],
        }
    )
    chart = intervals.decodability(frame, STYLE, kinds=["heads", "no heads"], subtitle="")
    assert MEANINGS["heads"] in json.dumps(specification(chart))


def test_no_page_has_colours_of_its_own():
    """Style sheets name custom properties; a colour that is written there would not follow the theme."""
    own = re.compile(r"#[0-9a-fA-F]{3,8}\b(?![^{]*\{)")
    for path in (ROOT / "analyses").rglob("templates/*.css"):
        written = set(own.findall(path.read_text())) - {"#fff", "#101418"}  # text on the accent, light and dark
        assert not written, f"{path}: {written}"


def test_the_sheet_has_both_themes_and_follows_the_system():
    sheet = style_sheet()
    assert LIGHT.ink in sheet and DARK.ink in sheet and "prefers-color-scheme: dark" in sheet and "--correct:" in sheet
    assert theme_of_files("auto") == theme_of_files("light") != theme_of_files("dark")
    assert VisualizationSettings.from_mapping({"theme": "auto"}).theme == "auto" and STYLE.theme == "light"
