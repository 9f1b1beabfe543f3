"""Pages of the live view: what they list, shade and export is what the tables hold."""

import contextlib
import io
import itertools
import re
import shutil
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest

from analyses.view import main
from analyses.viewing.links import NotThereError
from analyses.viewing.pages import Pages
from analyses.viewing.picture import token_svg
from analyses.viewing.samples import sample_list
from analyses.viewing.single_sample import segments_of, shown_tokens, statement_rows, weights_of
from analyses.viewing.source import open_viewed
from engine.errors import EXIT_CONFIG
from tests.fixtures.synthetic_run import add_causes, add_metadata, add_texts, add_token_attributions, write_run

HOSTILE = "<script>window.stolen = 1</script> <img src=x onerror=alert(1)> {{ 7*7 }} \u202e"


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    made = write_run(tmp_path_factory.mktemp("view") / "run", num_samples=60, num_layers=2, num_heads=3, num_shards=3)
    add_causes(made, 2, 3)
    add_texts(made, hostile=HOSTILE)
    add_token_attributions(made)
    add_metadata(made, {"run": {"name": "seen"}})
    return made


@pytest.fixture(scope="module")
def viewed(run_dir):
    (opened,) = open_viewed([run_dir])
    opened.texts.wait(60)
    return opened


@pytest.fixture(scope="module")
def pages(viewed):
    return Pages([viewed])


def table(run_dir, name):
    return pl.read_parquet(run_dir / "shards" / "*" / f"{name}.parquet")


def shown(pages, path, **asked):
    return pages.routes[path](pages.runs[0], asked).body


def first_text(run_dir):
    tokens = table(run_dir, "tokens")
    return tokens["sample_id"][0], tokens.filter(sample_id=tokens["sample_id"][0]).sort("position")


@pytest.mark.parametrize(
    ("asked", "condition"),
    [
        ({"column": "is_correct", "op": "is", "value": "true"}, pl.col("is_correct")),
        ({"column": "num_tokens", "op": "least", "value": "57"}, pl.col("num_tokens") >= 57),
        ({"column": "logit_difference", "op": "most", "value": "0"}, pl.col("logit_difference") <= 0),
        ({"column": "predicted_label", "op": "not", "value": "Increase"}, pl.col("predicted_label") != "increase"),
        ({"column": "cluster", "op": "has", "value": "c1"}, pl.col("cluster").str.contains("c1")),
    ],
    ids=["is", "least", "most", "not", "has"],
)
def test_filters_are_those_of_the_table(run_dir, viewed, asked, condition):
    found = sample_list(viewed, asked)
    expected = table(run_dir, "samples").filter(condition)
    assert 0 < len(expected) < 60 or asked["column"] == "num_tokens"
    assert set(found.everything["sample_id"]) == set(expected["sample_id"]) and not found.notes


def test_a_filter_that_says_nothing_is_said(viewed):
    for asked in ({"column": "num_tokens", "op": "least", "value": "x"}, {"column": "nope", "value": "1"}):
        found = sample_list(viewed, asked)
        assert len(found.everything) == 60 and "says nothing here" in found.notes[0]


def test_it_sorts_and_pages(run_dir, viewed):
    ordered = table(run_dir, "samples").sort("logit_difference", descending=True)["sample_id"].to_list()
    pages = [sample_list(viewed, {"sort": "logit_difference", "down": "1", "page": str(page)}) for page in (1, 2, 99)]
    assert pages[0].rows["sample_id"].to_list() + pages[1].rows["sample_id"].to_list() == ordered
    assert pages[2].page == pages[2].num_pages == 2


def test_texts_are_searched(run_dir, viewed):
    texts = (
        table(run_dir, "tokens").sort("sample_id", "position").group_by("sample_id").agg(pl.col("token").str.join(""))
    )
    with_words = set(texts.filter(pl.col("token").str.contains("WINDOW.STOLEN".lower(), literal=True))["sample_id"])
    found = sample_list(viewed, {"q": "Window.Stolen"})
    assert with_words and set(found.everything["sample_id"]) == with_words and not found.notes
    assert len(sample_list(viewed, {"q": "no such words anywhere"}).everything) == 0
    assert sample_list(viewed, {"q": "s00007"}).everything["sample_id"].to_list() == ["s00007"]


def test_a_layers_row_shades_the_tokens(run_dir, viewed):
    sample_id, tokens = first_text(run_dir)
    own = table(run_dir, "decision_rows").filter(sample_id=sample_id, layer=1)["pattern"][0].to_numpy()
    weights = weights_of(viewed, sample_id, len(tokens), 1, "mean")
    np.testing.assert_allclose(weights.values[: len(own)], own[: len(tokens)], rtol=1e-6)
    assert (weights.values[len(own) :] == 0).all() and weights.what == "Layer 1: the decision row, mean over its heads."


def test_a_heads_row_or_else_its_top_keys_and_how_to_keep_more(run_dir, viewed):
    rows = table(run_dir, "decision_head_rows")
    kept = rows["sample_id"][0]
    number = viewed.rows("tokens", kept).height
    whole = weights_of(viewed, kept, number, 1, "2")
    own = rows.filter(sample_id=kept, layer=1, head=2)["pattern"][0].to_numpy()
    np.testing.assert_allclose(whole.values[: len(own)], own, rtol=1e-6)
    other = next(name for name in table(run_dir, "tokens")["sample_id"].unique() if name not in set(rows["sample_id"]))
    number = viewed.rows("tokens", other).height
    keys = table(run_dir, "decision_top_keys").filter(sample_id=other, layer=1, head=2)
    keys = keys.filter(pl.col("key_position") < number)  # the fixture's keys are those of longer texts
    weights = weights_of(viewed, other, number, 1, "2")
    assert weights.values.sum() == pytest.approx(keys["weight"].sum(), rel=1e-5)
    assert f"statistics.decision_rows: [{other}]" in weights.what


def test_attribution_is_what_each_token_carries_towards_the_side_that_led(run_dir, viewed):
    """Worked out again key by key, in a loop, on samples of either side."""
    margins = dict(table(run_dir, "samples").select("sample_id", "logit_difference").iter_rows())
    for side in (1, -1):
        sample_id = next(name for name, margin in margins.items() if np.sign(margin) == side)
        num_tokens = table(run_dir, "tokens").filter(sample_id=sample_id).height
        carried = [0.0] * num_tokens
        for row in table(run_dir, "top_token_attributions").filter(sample_id=sample_id).to_dicts():
            carried[row["key_position"]] += side * row["attribution"]
        expected = np.clip(carried, 0, None)
        weights = weights_of(viewed, sample_id, num_tokens, 0, "attribution")
        np.testing.assert_allclose(weights.values, expected / expected.sum(), rtol=1e-5, atol=1e-12)
        assert f"({expected.sum():.2f} in all)" in weights.what


def test_a_run_without_attributions_says_how_to_keep_them(tmp_path):
    made = write_run(tmp_path / "run", num_samples=20, num_layers=1, num_heads=2, num_shards=1)
    add_texts(made)
    (opened,) = open_viewed([made])
    sample_id, tokens = first_text(made)
    weights = weights_of(opened, sample_id, len(tokens), 0, "attribution")
    assert np.isnan(weights.values).all() and "statistics.attribution: {top_tokens: 5}" in weights.what


def test_a_run_is_shown_in_the_words_of_its_config(run_dir, tmp_path):
    other = shutil.copytree(run_dir, tmp_path / "other")
    add_metadata(other, {"run": {"name": "other"}, "analysis": {"nouns": {"statement": "review"}}})
    pages = Pages(open_viewed([other, run_dir]))
    sample_id, _ = first_text(run_dir)
    own, default = (pages.routes["/sample"](viewed, {"id": sample_id}).body for viewed in pages.runs)
    for page, word, wrong in ((own, "review", "statement"), (default, "statement", "review")):
        assert f"<h4>{word}</h4>" in page and f"<h4>{wrong}</h4>" not in page
        assert f"The {word} as the model read it" in page and f"The {wrong}" not in page
    both = pages.routes["/side"](pages.runs[0], {"id": sample_id, "other_run": "1"}).body
    assert both.index("<h4>review</h4>") < both.index("<h4>statement</h4>")
    heads = [pages.routes["/head"](viewed, {"statistic": "mass_statement"}).body for viewed in pages.runs]
    assert "Weight on the review" in heads[0] and "on the statement" not in heads[0]
    assert "Weight on the statement" in heads[1]
    drawn = pages.routes["/sample"](pages.runs[0], {"id": sample_id, "as": "svg"}).body
    assert ">review<" in drawn and ">statement<" not in drawn


def test_nouns_that_are_none_are_told_before_the_view_opens(run_dir, tmp_path, capsys):
    other = shutil.copytree(run_dir, tmp_path / "other")
    add_metadata(other, {"analysis": {"nouns": {"text": "review"}}})
    assert main([str(other)]) == EXIT_CONFIG
    assert "analysis.nouns" in capsys.readouterr().err


def test_the_statement_is_a_table_whose_figures_hold_their_tokens_weight():
    pieces = ["| Sales", " (net)", " | 12", ".5", " | 11.0 |", "\n", "No table here\n", "a  1\n"]
    weights = np.array([0.1, 0.2, 0.5, 0.3, 0.05, 0.0, 0.9, 0.4])
    rows = statement_rows(pieces, weights, [("statement", 0, len(pieces))])
    assert [[cell.text for cell in row] for row in rows] == [["Sales (net)", "12.5", "11.0"], ["a", "1"]]
    figure = rows[0][1]
    assert figure.is_number and not rows[0][0].is_number
    # Three of the five characters of " | 12", all of ".5", and the blank before the next bar.
    assert figure.weight == pytest.approx(0.5 * 3 / 5 + 0.3 + 0.05 / 9)
    assert statement_rows(pieces, weights, [("response", 0, len(pieces))]) == []


def test_segments_and_tokens_are_those_of_the_text(run_dir):
    _, tokens = first_text(run_dir)
    runs = segments_of(tokens)
    assert runs[0][1] == 0 and runs[-1][2] == len(tokens)
    assert all(before[2] == after[1] for before, after in itertools.pairwise(runs))
    assert len(shown_tokens(tokens)) == len(tokens)


def test_the_token_that_the_decision_row_wrote_is_marked_as_in_the_report(run_dir, pages):
    sample_id, tokens = first_text(run_dir)
    decision = table(run_dir, "samples").filter(sample_id=sample_id)["decision_position"][0]
    (marked,) = re.findall(
        r'title="token (\d+): ([^"]+)" class="decided">([^<]*)', shown(pages, "/sample", id=sample_id)
    )
    assert (int(marked[0]), marked[2]) == (decision + 1, tokens["token"][decision + 1])
    assert re.fullmatch(r"\d+\.\d+ %", marked[1]), "a share has the format of all shares"


def test_a_heads_strongest_samples_on_both_sides(run_dir, pages):
    stats = table(run_dir, "head_stats").filter(query_group="decision", layer=1, head=2)
    joined = stats.join(table(run_dir, "samples").select("sample_id", "is_correct"), on="sample_id")
    body = shown(pages, "/head", layer="1", head="2", rows="decision", statistic="entropy_nats")
    for side, is_correct in (("correct", True), ("incorrect", False)):
        best = joined.filter(is_correct=is_correct).sort("entropy_nats", descending=True)["sample_id"][0]
        after = body.split(f"<caption>{side}: highest values")[1]
        assert re.search(r"id=([^\"&]+)", after)[1] == best


def test_samples_of_hostile_text_stay_text(run_dir, pages):
    sample_id, _ = first_text(run_dir)
    for path, asked in (("/sample", {"id": sample_id}), ("/", {"q": HOSTILE}), ("/sql", {"sql": HOSTILE})):
        body = shown(pages, path, **asked)
        assert "<script>window" not in body and "<img" not in body and "49" not in body.split("7*7")[0][-3:]
    body = shown(pages, "/sample", id=sample_id)
    assert "&lt;script&gt;" in body.replace("</span>", "").replace("\n", "") or "&lt;" in body
    assert "\u202e" not in body


def test_sql_goes_through_the_fence(run_dir, pages):
    body = shown(pages, "/sql", sql="SELECT COUNT(*) AS number FROM samples")
    assert re.search(r"<td>60</td>", body)
    assert "is refused" in shown(pages, "/sql", sql="SELECT * FROM read_csv('/etc/passwd')")
    assert shown(pages, "/sql", sql="SELECT sample_id FROM samples", **{"as": "csv"}).count("\n") == 61


def test_what_is_not_there_is_said(pages):
    with pytest.raises(NotThereError, match="has no sample 'nope'"):
        shown(pages, "/sample", id="nope")
    assert "has no sample" in shown(pages, "/side", id="nope", other_id="nope")


@pytest.mark.parametrize(
    ("path", "asked", "said"),
    [
        ("/head", {"layer": "2"}, r"no layer '2' here; allowed: 0 to 1"),
        ("/head", {"layer": "1", "head": "99"}, r"no head '99' here; allowed: 0 to 2"),
        ("/head", {"head": "-1", "as": "csv"}, r"no head '-1' here"),
        ("/head", {"rows": "thinking"}, r"no group of query rows 'thinking' here; allowed: .*decision"),
        ("/head", {"statistic": "mass_nothing"}, r"no statistic 'mass_nothing' here; allowed: .*entropy_nats"),
        ("/sample", {"layer": "x"}, r"no layer 'x' here"),
        ("/sample", {"by": "3"}, r"no shade '3' here; allowed: mean, 0, 1, 2, rollout, attribution"),
        ("/sample", {"by": "7", "as": "svg"}, r"no shade '7' here"),
        ("/", {"run": "1"}, r"no run '1' here; allowed: 0 to 0"),
    ],
    ids=lambda value: None if isinstance(value, dict) else str(value).strip("/").split(" here")[0],
)
def test_nothing_is_shown_in_place_of_what_was_asked_for(run_dir, pages, path, asked, said):
    sample_id, _ = first_text(run_dir)
    with pytest.raises(NotThereError, match=said):
        shown(pages, path, **({"id": sample_id} if path == "/sample" else {}), **asked)


def test_a_column_that_is_not_there_sorts_nothing_and_is_said(viewed):
    found = sample_list(viewed, {"sort": "colour"})
    assert found.rows["sample_id"].to_list() == viewed.run.samples["sample_id"].head(50).to_list()
    assert found.notes == ("There is no column 'colour' to sort by; the order is that of the run.",)


def test_two_samples_stand_side_by_side_each_with_its_own_layer(run_dir, pages):
    ids = table(run_dir, "samples")["sample_id"].to_list()
    body = shown(pages, "/side", id=ids[0], other_id=ids[1], layer="0", other_layer="1")
    assert body.count('<article class="sample"') == 2 and 'name="other_layer"' in body
    assert "Layer 0: the decision row" in body and "Layer 1: the decision row" in body


def test_two_runs_stand_side_by_side(run_dir, tmp_path):
    other = write_run(tmp_path / "other", num_samples=20, num_layers=1, num_heads=2, num_shards=1)
    add_texts(other)
    pages = Pages(open_viewed([run_dir, other]))
    body = shown(pages, "/side", id="s00000", other_run="1", other_id="s00000")
    assert body.count('<article class="sample"') == 2 and ">other<" in body


def ran(code):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pl.Config(tbl_rows=-1, fmt_str_lengths=50):
        scope: dict = {}
        exec(code, scope)
    return scope, out.getvalue()


def test_exported_code_makes_the_view_again(run_dir, viewed, pages):
    asked = {
        "column": "is_correct",
        "op": "is",
        "value": "true",
        "sort": "logit_difference",
        "down": "1",
        "q": "stolen",
    }
    scope, _ = ran(shown(pages, "/", **asked, **{"as": "code"}))
    assert scope["samples"]["sample_id"].to_list() == sample_list(viewed, asked).everything["sample_id"].to_list()
    scope, _ = ran(
        shown(pages, "/head", layer="1", head="2", rows="decision", statistic="entropy_nats", **{"as": "code"})
    )
    column = viewed.values("decision", "entropy_nats")[:, 1 * 3 + 2]
    assert sorted(scope["values"]["entropy_nats"].to_list()) == pytest.approx(sorted(column.tolist()))
    for by in ("mean", "2", "attribution"):
        scope, said = ran(shown(pages, "/sample", id=first_text(run_dir)[0], layer="1", by=by, **{"as": "code"}))
        assert said and len(scope["own"])
    _, said = ran(shown(pages, "/sql", sql="SELECT COUNT(*) AS number FROM samples", **{"as": "code"}))
    assert "60" in said


def test_names_cannot_break_out_of_exported_code(pages):
    evil = "x'); import os; os.abort() #"
    code = shown(pages, "/", q=evil, sort=evil, column=evil, value=evil, **{"as": "code"})
    compile(code, "view", "exec")
    assert repr(evil) in code or repr(evil)[1:-1] in code


def test_csv_has_the_weights_and_no_formulas(run_dir, pages):
    sample_id, tokens = first_text(run_dir)
    body = shown(pages, "/sample", id=sample_id, layer="1", by="mean", **{"as": "csv"})
    frame = pl.read_csv(io.StringIO(body), infer_schema_length=None)
    assert len(frame) == len(tokens) and frame["weight"].sum() == pytest.approx(1, abs=0.01)


def test_a_picture_has_every_token_in_its_place_shaded_and_inert(run_dir, pages, viewed):
    sample_id, tokens = first_text(run_dir)
    root = ElementTree.fromstring(shown(pages, "/sample", id=sample_id, layer="1", by="mean", **{"as": "svg"}))
    space = "{http://www.w3.org/2000/svg}"
    texts = list(root.iter(f"{space}text"))
    said = "".join(one.text or "" for one in texts if one.get("textLength"))
    assert "".join(said.split()) == "".join("".join(shown_tokens(tokens)).split())
    assert {one.tag.removeprefix(space) for one in root.iter()} == {"svg", "rect", "text"}
    shades = [float(one.get("fill-opacity")) for one in root.iter(f"{space}rect") if one.get("fill-opacity")]
    weights = weights_of(viewed, sample_id, len(tokens), 1, "mean").values
    assert max(shades) == pytest.approx(0.85) and len(shades) >= np.count_nonzero(weights > 0.001 * weights.max())
    framed = [one for one in root.iter(f"{space}rect") if one.get("stroke")]
    assert framed and texts[0].text == f"{viewed.name}: {sample_id}"
    width = float(root.get("width"))
    for one in root.iter(f"{space}text"):
        if one.get("textLength"):
            assert float(one.get("x")) + float(one.get("textLength")) <= width - 20


def test_a_picture_breaks_full_lines_and_gives_wide_letters_two_columns():
    shown_ones = ["営業利益" * 30, "\tx\n", "e\u0301" * 5]
    root = ElementTree.fromstring(token_svg("t", "w", shown_ones, np.array([1.0, 0.0, 0.5]), [("statement", 0, 3)], 2))
    rects = [one for one in root.iter() if one.get("fill-opacity")]
    widths = [round(float(one.get("width")) / 7.8) for one in rects]
    assert widths[:3] == [100, 100, 40] and widths[-1] == 5


def test_a_picture_is_saved_as_png(run_dir, pages):
    sample_id, _ = first_text(run_dir)
    reply = pages.routes["/sample"](pages.runs[0], {"id": sample_id, "as": "png"})
    assert reply.kind == "image/png" and reply.body[:8] == b"\x89PNG\r\n\x1a\n" and len(reply.body) > 5_000


def test_a_partial_run_opens_and_says_so(tmp_path):
    run_dir = write_run(tmp_path / "run", num_samples=20, num_layers=1, num_heads=2, num_shards=2)
    (run_dir / "_SUCCESS").unlink()
    assert "PARTIAL RUN: 20 samples so far" in shown(Pages(open_viewed([run_dir], partial=True)), "/")


def test_values_in_memory_are_bounded(viewed, monkeypatch):
    monkeypatch.setattr("analyses.viewing.source.KEPT_BYTES", 1)
    for name in ("entropy_nats", "diagonal", "entropy_nats"):
        assert viewed.values("all", name).shape == (60, 6)
        assert len(viewed._values) == 1
