"""The report in a real browser: offline, without a complaint, by mouse and keyboard, on wide and narrow screens."""

from __future__ import annotations

import base64
import json
import re

import numpy as np
import polars as pl
import pytest

from tests.fixtures.synthetic_run import add_metadata, add_texts, edit_table, write_run

ALONE = {"permutations": 0, "decodability": False, "hypotheses": [], "correlations": [], "strata": []}
QUICK = {"analysis": ALONE, "visualization": {"formats": []}}


def charts(page):
    return page.locator(".chart[data-chart]:visible")


def test_it_renders_offline_without_complaints(seen):
    assert seen.problems == [] and seen.external == []
    assert charts(seen.page).count() >= 20
    for place in charts(seen.page).all():
        drawn = place.locator("svg.marks, canvas.marks")
        assert drawn.count() == 1, place.get_attribute("data-chart")
        box = drawn.bounding_box()
        assert box["width"] > 150 and box["height"] > 40, place.get_attribute("data-chart")
    assert seen.page.evaluate("document.querySelectorAll('svg.marks').length") > 10
    assert "NaN" not in seen.page.inner_text("main") and "undefined" not in seen.page.inner_text("main")


@pytest.mark.parametrize(
    ("width", "theme"),
    [(1280, "dark"), (760, "light"), (420, "light"), pytest.param(420, "dark", marks=pytest.mark.soak)],
)
def test_nothing_is_cut_on_any_screen(report, visit, width, theme):
    """The page itself never scrolls sideways, and charts fit into their places."""
    seen = visit(report, width)
    if theme == "dark":
        seen.page.click("#theme")
        seen.page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
        seen.page.wait_for_timeout(1500)
    assert seen.overflow() <= 0 and seen.problems == []
    cut = seen.page.evaluate("""() => [...document.querySelectorAll('.chart[data-chart]')]
        .filter((place) => place.offsetParent && place.scrollWidth > place.clientWidth + 2)
        .map((place) => `${place.dataset.chart}: ${place.scrollWidth} > ${place.clientWidth}`)""")
    assert cut == []


def cell(page, layer, head):
    """Return the cell of a head in the first map."""
    marks = page.locator('[data-chart=head_map] path[aria-roledescription="rect mark"]')
    wanted = re.compile(rf"layer[^;]*: {layer};.*head[^;]*: {head}(;|$)|head[^;]*: {head};.*layer[^;]*: {layer}(;|$)")
    return next(mark for mark in marks.all() if wanted.search(mark.get_attribute("aria-label") or ""))


def test_clicking_a_head_shows_that_head(report, seen):
    page = seen.page
    page.wait_for_selector("#head-panel[data-head]")
    told = {}
    for layer, head in ((0, 0), (2, 3)):
        cell(page, layer, head).click()
        page.wait_for_selector(f'#head-panel[data-head="{layer}.{head}"]')
        assert page.inner_text("#panel-title") == f"Head {layer}.{head}"
        told[layer, head] = page.inner_text("#head-panel")
        page.click("#tab-words")
        tables = report.parent / "tables"
        types = pl.read_parquet(tables / "head_types.parquet").filter(layer=layer, head=head)
        assert types["head_type"][0] in page.inner_text("#panel-type")
        tokens = pl.read_parquet(tables / "head_top_tokens.parquet").filter(layer=layer, head=head, rank=1)
        first = page.locator("#panel-tokens li").first.inner_text()
        assert f"{100 * tokens['mean'][0]:.2g}"[:3] in first
        for chart in ("head_distribution", "head_lift"):
            assert page.locator(f"[data-chart={chart}] svg.marks").count() == 1
        page.click("#tab-values")
    assert told[0, 0] != told[2, 3]
    page.click("#tab-causes")
    assert "Ablation" in page.inner_text("#panel-causes") and "nats" in page.inner_text("#panel-causes")


def test_the_panel_shows_the_tables_numbers(report, visit):
    """The median of the panel's chart is that of the samples, computed again from head_stats."""
    page = visit(report).page
    page.wait_for_selector("#head-panel[data-head]")
    start = json.loads(page.inner_text("#atlas-data"))["start"]
    stats = pl.read_parquet(report.parents[1] / "shards" / "*" / "head_stats.parquet")
    samples = pl.read_parquet(report.parents[1] / "shards" / "*" / "samples.parquet").select("sample_id", "is_correct")
    own = stats.filter(query_group=start["rows"], layer=start["layer"], head=start["head"]).join(samples, "sample_id")
    drawn = page.evaluate("views.get('head_distribution').view.data('rows')")
    for row in drawn:
        values = own.filter(is_correct=row["group"] == "correct")[start["statistic"]]
        assert row["num_samples"] == len(values) and row["median"] == pytest.approx(values.median(), rel=0.01)


def test_the_keyboard_chooses_heads_and_walks_through_tokens(report, visit):
    page = visit(report).page
    page.wait_for_selector("#head-panel[data-head]")
    page.fill("#head-panel [name=layer]", "1")
    page.keyboard.press("Tab")
    page.focus("[data-chart=head_map]")
    before = page.inner_text("#panel-title")
    page.keyboard.press("ArrowLeft" if before.endswith("3") else "ArrowRight")
    page.wait_for_function("before => document.getElementById('panel-title').textContent !== before", arg=before)
    page.focus("#explorer-text")
    page.keyboard.press("ArrowLeft")
    first = page.inner_text("#explorer-said")
    page.keyboard.press("ArrowLeft")
    assert first.startswith("Token ") and page.inner_text("#explorer-said") != first


def test_heads_are_linked_between_charts(report, visit):
    """A head chosen in the map of types is framed in the other maps, and a button leads to its panel."""
    page = visit(report).page
    page.wait_for_selector("#head-panel[data-head]")
    page.locator('[data-chart=head_type_map] path[aria-roledescription="rect mark"]').last.click()
    page.wait_for_selector("#jump:visible")
    chosen = page.evaluate("[chosen.layer, chosen.head]")
    for name in ("head_map", "difference_map", "causal_map"):
        known = page.evaluate(f"signalsOf(views.get('{name}'))")
        assert [known["marked_layer"], known["marked_head"]] == chosen
    page.click("#jump")
    assert page.inner_text("#panel-title") == f"Head {chosen[0]}.{chosen[1]}"


def test_the_volcano_has_every_comparison(seen):
    page = seen.page
    menu = page.locator("[data-chart=volcano] select")
    assert menu.locator("option").all_inner_texts() == ["correct minus incorrect", "high minus low"]
    counts = []
    for name in ("is_correct", "certainty"):
        menu.select_option(label={"is_correct": "correct minus incorrect", "certainty": "high minus low"}[name])
        page.wait_for_timeout(300)
        shown = page.evaluate("views.get('volcano').view.signal('chosen_comparison')")
        counts.append(shown)
    assert counts == ["is_correct", "certainty"] and seen.problems == []


def test_hostile_text_is_shown_and_not_run(seen):
    page = seen.page
    text = page.inner_text("#explorer-text")
    assert "<script>window.stolen" in text and "<img" in text and "שלום" in text and "👩‍👩‍👧" in text
    assert "\\u202e" in text, "a character that reorders the text is shown by its number"
    assert page.evaluate("window.stolen === undefined") and seen.problems == []
    assert page.locator("#explorer-text img, #explorer-text script, #explorer-text b").count() == 0
    assert "<script>window.stolen = 3" in page.inner_text("h1")


def test_the_explorer_shades_what_the_tables_hold(report, seen):
    page = seen.page
    content = json.loads(page.inner_text("#explorer-data"))
    assert 4 <= len(content["samples"]) <= 8
    reasons = " ".join(reason for sample in content["samples"] for reason in sample["reasons"])
    for rule in ("most typical right", "most typical wrong", "most extreme right", "closest call", "head by head"):
        assert rule in reasons
    slot = next(at for at, one in enumerate(content["samples"]) if "kept head by head" in one["reasons"])
    page.select_option(".explorer [name=sample]", str(slot))
    page.select_option(".explorer [name=head]", "1")
    rows = pl.read_parquet(report.parents[1] / "shards" / "*" / "decision_head_rows.parquet")
    own = rows.filter(sample_id=content["samples"][slot]["id"], layer=2, head=1)["pattern"][0]
    heaviest = int(own.arg_max())
    first = page.locator("#explorer-keys li").first.inner_text()
    assert f"token {heaviest}" in first and f"{100 * own.max():.3g}"[:3] in first
    token = page.locator(f"#explorer-text [data-position='{heaviest}']")
    assert float(token.evaluate("span => span.style.getPropertyValue('--weight')")) == 1
    page.select_option(".explorer [name=head]", "rollout")
    assert "Rollout" in page.inner_text("#explorer-what")


def test_a_long_text_stays_readable(tmp_path, visit):
    """2,600 tokens: every token is on the page, and the page is small, quick and no wider than a telephone."""
    from analyses.reporting.write import analyze

    run_dir = write_run(tmp_path / "long", num_samples=12, num_layers=2, num_heads=4, num_clusters=12, num_shards=1)
    add_texts(run_dir, num_tokens=2600)
    add_metadata(run_dir, QUICK)
    path = analyze(run_dir).report
    assert path.stat().st_size < 5_000_000
    seen = visit(path, 420)
    assert seen.page.locator("#explorer-text [data-position]").count() >= 2600
    assert seen.overflow() <= 0 and seen.problems == []


def test_the_first_paint_comes_soon(seen):
    paint = seen.page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    assert paint < 2000


GREYS = """async (picture) => {
  const image = new Image();
  image.src = `data:image/png;base64,${picture}`;
  await image.decode();
  const canvas = new OffscreenCanvas(image.width, image.height).getContext("2d");
  canvas.drawImage(image, 0, 0);
  const data = canvas.getImageData(0, 0, image.width, image.height).data;
  const counts = new Array(256).fill(0);
  for (let at = 0; at < data.length; at += 4) counts[Math.round((data[at] + data[at + 1] + data[at + 2]) / 3)] += 1;
  return counts;
}"""
"""How many pixels of a picture have each grey, 0 to 255."""


def test_both_themes_look_alike_but_for_their_colours(report, visit, browser):
    """Screenshots, compared loosely: light is light, dark is dark, and both show as many things."""
    page, blank = visit(report).page, browser.new_page()
    papers, inked = [], []
    for _ in range(2):
        page.wait_for_timeout(1000)
        counts = np.array(blank.evaluate(GREYS, base64.b64encode(page.screenshot()).decode()))
        papers.append(int(np.searchsorted(counts.cumsum(), counts.sum() / 2)))
        inked.append(counts[np.abs(np.arange(256) - papers[-1]) > 60].sum() / counts.sum())
        page.click("#theme")
    blank.close()
    assert papers[0] > 230 and papers[1] < 60
    assert all(0.01 < share < 0.6 for share in inked) and abs(inked[0] - inked[1]) < 0.1


FAINT = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = (rgb) => { const [r, g, b] = rgb.map((part) => { const x = part / 255;
    return x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const paper = (one) => { const layers = [];
    for (let at = one; at; at = at.parentElement) {
      const [r, g, b, a = 1] = parse(getComputedStyle(at).backgroundColor);
      layers.push([r, g, b, a]); if (a === 1) break; }
    const over = (under, [r, g, b, a]) => [r, g, b].map((part, slot) => part * a + under[slot] * (1 - a));
    return layers.reverse().reduce(over, [255, 255, 255]); };
  const faint = [];
  for (const one of document.querySelectorAll("body *")) {
    if (one.closest("svg, canvas, script, style, .vega-embed") || !one.offsetParent) continue;
    if (![...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())) continue;
    const style = getComputedStyle(one), size = parseFloat(style.fontSize);
    const [a, b] = [light(parse(style.color).slice(0, 3)), light(paper(one))].sort((x, y) => y - x);
    const least = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    if ((a + 0.05) / (b + 0.05) < least) faint.push(`${one.tagName} ${one.className}: ${one.textContent.slice(0, 30)}`);
  }
  return faint;
}"""
"""Visible texts whose contrast with what lies behind them is below WCAG AA."""

NAMELESS = """() => [...document.querySelectorAll(
    'button, input:not([type=hidden]), select, a, summary, [role=tab], [role=figure]')]
    .filter((one) => !(one.textContent || '').trim() && !one.ariaLabel && !(one.labels || []).length && !one.title)
    .map((one) => one.outerHTML.slice(0, 80))"""
"""Controls and charts that a screen reader could not name."""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_readable_and_everything_has_a_name(report, visit, theme):
    page = visit(report).page
    if theme == "dark":
        page.click("#theme")
        page.wait_for_timeout(1500)
    assert page.evaluate(FAINT) == [] and page.evaluate(NAMELESS) == []
    assert page.locator("h1").count() == 1 and page.locator("main").count() == 1


def test_every_tile_and_line_leads_to_its_evidence(seen):
    page = seen.page
    assert page.locator(".tile").count() == 4 and page.locator(".lines li").count() >= 4
    for link in page.locator(".tile, .lines a").all():
        assert page.locator(link.get_attribute("href")).count() == 1
    assert page.locator("[data-chart=summary_map] svg.marks").count() == 1


def test_chapters_stand_at_the_side_or_in_a_menu(report, visit):
    wide, narrow = visit(report, 1400).page, visit(report, 390).page
    assert wide.is_visible("nav a[href='#causes']") and not narrow.is_visible("nav a[href='#causes']")
    narrow.click("nav summary")
    narrow.click("nav a[href='#causes']")
    assert not narrow.is_visible("nav a[href='#causes']")
    box = wide.locator("nav").bounding_box()
    assert box["x"] + box["width"] <= wide.locator("main").bounding_box()["x"]


def test_auto_follows_the_system(tmp_path, visit):
    from analyses.reporting.write import analyze

    run_dir = write_run(tmp_path / "run", num_samples=24, num_layers=1, num_heads=2, num_shards=1)
    add_metadata(run_dir, QUICK | {"visualization": {"formats": [], "theme": "auto"}})
    path = analyze(run_dir).report
    for scheme in ("light", "dark"):
        page = visit(path, color_scheme=scheme).page
        assert page.evaluate("document.documentElement.dataset.theme") == scheme
    page.emulate_media(color_scheme="light")
    page.wait_for_function("document.documentElement.dataset.theme === 'light'")
    page.click("#theme")
    page.emulate_media(color_scheme="dark")
    page.emulate_media(color_scheme="light")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark", "the reader's choice stays"


def test_the_panel_follows_the_rows_that_the_map_shows(seen):
    page = seen.page
    page.wait_for_selector("#head-panel[data-head]")
    page.click("#tab-words")
    assert page.inner_text("#panel-lift-note") == "Decision token"
    page.locator("[data-chart=head_map] select").first.select_option(label="All tokens")
    page.wait_for_function("document.getElementById('panel-lift-note').textContent === 'All tokens'")


def test_it_prints(report, visit):
    page = visit(report).page
    page.emulate_media(media="print")
    assert not page.is_visible("nav") and not page.is_visible("#theme")
    assert page.is_visible("[data-chart=head_map] svg.marks")
    assert page.pdf(format="A4").startswith(b"%PDF")


@pytest.mark.parametrize("case", ["partial", "no incorrect", "one sample", "no causes"])
def test_what_is_missing_is_explained(tmp_path, visit, case):
    from analyses.reporting.write import analyze

    size = {"num_samples": 1, "num_clusters": 1} if case == "one sample" else {"num_samples": 24}
    run_dir = write_run(tmp_path / "run", num_layers=2, num_heads=2, num_shards=1, **size)
    add_texts(run_dir)
    add_metadata(run_dir, QUICK)
    if case == "partial":
        (run_dir / "_SUCCESS").unlink()
    if case == "no incorrect":
        edit_table(
            run_dir, "samples", lambda f: f.with_columns(is_correct=pl.lit(True), actual_label="predicted_label")
        )
    seen = visit(analyze(run_dir, partial=case == "partial").report)
    assert seen.problems == []
    words = {
        "partial": "PARTIAL RUN",
        "no incorrect": "The run has no wrong prediction to show",
        "one sample": "each group needs at least two",
        "no causes": "No cause was measured in this run",
    }
    assert words[case] in seen.page.inner_text("body")
    if case == "partial":
        assert seen.page.locator(".partial").bounding_box()["y"] < 200


def test_compared_runs_in_the_browser(tmp_path, visit):
    from analyses.report import main

    runs = []
    for name, heads in (("small", 2), ("again", 2), ("large", 3)):
        runs.append(write_run(tmp_path / name, num_samples=24, num_layers=2, num_heads=heads, num_shards=1))
        add_metadata(runs[-1], QUICK)
    assert main([str(path) for path in runs]) == 0
    for width in (1280, 420):
        seen = visit(runs[0] / "analysis" / "compared_runs.html", width)
        assert seen.problems == [] and seen.external == [] and seen.overflow() <= 0
        assert charts(seen.page).count() == 4
