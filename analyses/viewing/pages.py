"""The pages of the view: every page is a function from what was asked to HTML, CSV, Python code or a picture.

Text of samples reaches a page through Jinja's escaping alone, and no page has a script or a style of its own in it, so
that whatever a sample holds stays text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import jinja2
import numpy as np
import polars as pl

from analyses.charts.files import as_json
from analyses.charts.themes import THEMES
from analyses.query import answer_query, csv_text, query_frames
from analyses.querying.fence import QueryError
from analyses.settings.visualization import VisualizationSettings
from analyses.viewing import code
from analyses.viewing.heads import head_page
from analyses.viewing.links import Asked, NotThereError, asked_name, asked_number, downloads, link, shown_value
from analyses.viewing.picture import png_of, token_svg
from analyses.viewing.sample_page import layer_and_way, shown_sample, tokens_of
from analyses.viewing.samples import OPERATORS, list_columns, sample_list
from analyses.viewing.single_sample import Weights, segments_of, shown_tokens, weights_of
from analyses.viewing.source import ViewedRun
from analyses.wording import named_by, query_group_label, segment_label, statistic_label

_PYTHON = "text/x-python"

SQL_ROWS = 200
"""Rows of an answer that the page shows; the export has all."""


@dataclass(frozen=True)
class Reply:
    """What a page answers: text or bytes, its media type, and the name of a file where it is to be saved."""

    body: str | bytes
    kind: str = "text/html"
    file: str = ""


Page = Callable[[ViewedRun, Asked], Reply]
"""What makes a page: from the run and what is asked for."""


def _in_words_of_its_run(page: Page) -> Page:
    """Return a page that calls things as its run's config does (``analysis.nouns``)."""

    def named(viewed: ViewedRun, asked: Asked) -> Reply:
        with named_by(viewed.nouns):
            return page(viewed, asked)

    return named


def environment() -> jinja2.Environment:
    """Return the environment of the templates: every value is escaped."""
    made = jinja2.Environment(loader=jinja2.PackageLoader("analyses.viewing"), autoescape=True, trim_blocks=True)
    made.filters["value"] = shown_value
    return made


class Pages:
    """The pages over one or several runs."""

    def __init__(self, runs: Sequence[ViewedRun]) -> None:
        self.runs = runs
        self._templates = environment()
        pages = {
            "/": self.samples,
            "/sample": self.sample,
            "/side": self.side,
            "/head": self.head,
            "/sql": self.sql,
        }
        self.routes: Mapping[str, Page] = {path: _in_words_of_its_run(page) for path, page in pages.items()}

    def run_of(self, asked: Asked, name: str = "run") -> int:
        """Return which run is asked for; the first where none is.

        Raises
        ------
        NotThereError
            When there are not so many runs.
        """
        return asked_number(asked, name, len(self.runs))

    def _page(self, template: str, path: str, viewed: ViewedRun, asked: Asked, title: str, **values: object) -> Reply:
        partial = ""
        if viewed.run.is_partial:
            partial = f"PARTIAL RUN: {len(viewed.run.samples):,} samples so far; numbers will change."
        shared = {
            "title": title,
            "path": path,
            "runs": [one.name for one in self.runs],
            "run": self.run_of(asked),
            "partial": partial,
            "again": link(path, asked, again="1"),
            "asked": {name: asked.get(name, "") for name in ("q", "column", "op", "value", "sort", "down")},
        }
        return Reply(self._templates.get_template(template).render(shared | values))

    def samples(self, viewed: ViewedRun, asked: Asked) -> Reply:
        """Return the list of samples."""
        found = sample_list(viewed, asked)
        if asked.get("as") == "csv":
            return Reply(csv_text(found.everything), "text/csv", f"{viewed.name}-samples.csv")
        if asked.get("as") == "code":
            return Reply(code.samples_code(viewed.run.run_dir, asked), _PYTHON, f"{viewed.name}-samples.py")
        falls = asked.get("down") != "1"
        sort = {name: link("/", asked, sort=name, down="1" if falls else "", page="1") for name in found.rows.columns}
        return self._page(
            "samples.html.j2",
            "/",
            viewed,
            asked,
            viewed.name,
            found=found,
            total=len(viewed.run.samples),
            columns=[(name, name) for name in list_columns(viewed)],
            operators=list(OPERATORS.items()),
            links={"sample": f"/sample?run={self.run_of(asked)}", "sorted": sort},
            earlier=link("/", asked, page=str(found.page - 1)),
            later=link("/", asked, page=str(found.page + 1)),
            downloads=downloads("/", asked),
        )

    def sample(self, viewed: ViewedRun, asked: Asked) -> Reply:
        """Return one sample."""
        sample_id = asked.get("id", "")
        if asked.get("as"):
            return self._exported(viewed, asked)
        shown = shown_sample(viewed, self.run_of(asked), asked, "", "/sample")
        beside = link("/side", {}, run=str(self.run_of(asked)), id=sample_id)
        return self._page(
            "sample.html.j2", "/sample", viewed, asked, f"Sample {sample_id}", shown=[shown], beside=beside
        )

    def side(self, viewed: ViewedRun, asked: Asked) -> Reply:
        """Return two samples side by side, of one run or of two."""
        other_run = self.run_of(asked, "other_run") if "other_run" in asked else self.run_of(asked)
        other = self.runs[other_run]
        first = viewed.run.samples["sample_id"].head(2).to_list()
        ids = (
            asked.get("id") or first[0],
            asked.get("other_id") or (asked.get("id") if other is not viewed else first[-1]),
        )
        shown, problems = [], []
        for one, prefix, sample_id in ((viewed, "", ids[0]), (other, "other_", ids[1])):
            own = {**asked, f"{prefix}id": sample_id or ""}
            try:
                with named_by(one.nouns):  # each sample in the words of its own run
                    shown.append(shown_sample(one, self.runs.index(one), own, prefix, "/side"))
            except NotThereError as problem:
                problems.append(str(problem))
        named = {"side": True, "ids": ids, "other_run": other_run}
        return self._page(
            "sample.html.j2", "/side", viewed, asked, "Side by side", shown=shown, problems=problems, **named
        )

    def _exported(self, viewed: ViewedRun, asked: Asked) -> Reply:
        sample_id = asked.get("id", "")
        tokens = tokens_of(viewed, sample_id)
        layer, by = layer_and_way(viewed, asked, "")
        file = f"{viewed.name}-{sample_id}"
        if asked["as"] == "code":
            return Reply(code.sample_code(viewed.run.run_dir, sample_id, layer, by), _PYTHON, f"{file}.py")
        weights = weights_of(viewed, sample_id, len(tokens), layer, by)
        if asked["as"] in ("svg", "png"):
            return _picture(viewed, sample_id, tokens, weights, asked["as"])
        frame = tokens.with_columns(weight=pl.Series(weights.values).fill_nan(None))
        return Reply(csv_text(frame), "text/csv", f"{file}.csv")

    def head(self, viewed: ViewedRun, asked: Asked) -> Reply:
        """Return one head with its strongest samples."""
        run = viewed.run
        where = asked_number(asked, "layer", run.num_layers), asked_number(asked, "head", run.num_heads)
        rows = asked_name(asked, "rows", run.query_groups, "decision")
        statistic = asked_name(asked, "statistic", run.statistics, f"mass_{run.vocabulary}")
        style = VisualizationSettings.from_mapping(run.section("visualization") or {})
        page = head_page(viewed, style, where, rows, statistic, low=asked.get("low") == "1")
        file = f"{viewed.name}-head-{where[0]}-{where[1]}"
        if asked.get("as") == "csv":
            return Reply(csv_text(page.values), "text/csv", f"{file}.csv")
        if asked.get("as") == "code":
            return Reply(code.head_code(run.run_dir, where, rows, statistic), _PYTHON, f"{file}.py")
        here = {"run": str(self.run_of(asked)), "layer": str(where[0]), "by": str(where[1])}
        return self._page(
            "head.html.j2",
            "/head",
            viewed,
            asked,
            f"{viewed.name}: head {where[0]}.{where[1]}",
            page=page,
            layer=where[0],
            head=where[1],
            layers=[(one, str(one)) for one in range(run.num_layers)],
            heads=[(one, str(one)) for one in range(run.num_heads)],
            rows=rows,
            groups=[(name, query_group_label(name)) for name in run.query_groups],
            statistic=statistic,
            statistics=[(name, statistic_label(name)) for name in run.statistics],
            low=asked.get("low", ""),
            links={"sample": link("/sample", here), "sorted": {}},
            downloads=downloads("/head", asked),
            chart=as_json(page.chart) if page.chart else "",
            themes=as_json(THEMES),
        )

    def sql(self, viewed: ViewedRun, asked: Asked) -> Reply:
        """Return the answer to a query, through the fence of ``analyses.query``."""
        sql = asked.get("sql", "").strip()
        answer, problem = None, ""
        frames = query_frames(viewed.run)
        if sql:
            try:
                answer = answer_query(frames, sql)
            except QueryError as error:
                problem = str(error)
        if answer is not None and asked.get("as") == "csv":
            return Reply(csv_text(answer), "text/csv", f"{viewed.name}-query.csv")
        if asked.get("as") == "code":
            return Reply(code.sql_code(viewed.run.run_dir, sql), _PYTHON, f"{viewed.name}-query.py")
        start = "SELECT predicted_label, COUNT(*) AS number\nFROM samples GROUP BY predicted_label"
        return self._page(
            "sql.html.j2",
            "/sql",
            viewed,
            asked,
            f"{viewed.name}: SQL",
            sql=sql or start,
            answer=answer,
            shown=None if answer is None else answer.head(SQL_ROWS),
            problem=problem,
            tables=sorted(frames),
            links={"sample": f"/sample?run={self.run_of(asked)}", "sorted": {}},
            downloads=downloads("/sql", asked),
        )


def _picture(viewed: ViewedRun, sample_id: str, tokens: pl.DataFrame, weights: Weights, kind: str) -> Reply:
    """Return a sample's shaded tokens as a picture; where no PNG can be drawn, that is said."""
    row = viewed.run.samples.row(viewed.run.rows_of[sample_id], named=True)
    title = f"{viewed.name}: {sample_id}"
    shown = shown_tokens(tokens)
    segments = [(segment_label(name), start, end) for name, start, end in segments_of(tokens)]
    svg = token_svg(title, weights.what, shown, np.nan_to_num(weights.values), segments, row["decision_position"])
    if kind == "png":
        try:
            return Reply(png_of(svg), "image/png", f"{viewed.name}-{sample_id}.png")
        except RuntimeError as problem:
            raise NotThereError(f"No PNG: {problem}.") from None
    return Reply(svg, "image/svg+xml", f"{viewed.name}-{sample_id}.svg")
