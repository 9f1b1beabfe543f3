"""The head atlas: everything that the page shows of a head when it is chosen, small enough to be part of the page.

Numbers come from the analysis tables as they are; texts are made here, so that the page's script words nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from analyses import wording
from analyses.charts import single_heads
from analyses.charts.parts import named_rows
from analyses.questions.answers import Answers
from analyses.questions.causes.values import KEYS, has_causes
from analyses.questions.causes.wording import cause_label, nats_text
from analyses.questions.families import is_significant
from analyses.questions.figure import Figure, first_choice, row_menu, statistic_menu
from analyses.questions.heads.details import QUANTILES
from analyses.questions.heads.scores import rows_of
from analyses.runs.key_groups import why_no_words

MAX_NUMBERS = 300_000
"""Quantiles that the page holds at most; of a large model those of the first query groups only."""

NUM_TESTS = 5
"""Tests listed for a head, those with the smallest p."""

NUM_CAUSES = 6
"""Causes listed for a head, interventions first."""

_KINDS = {"union": "vocabulary", "category": "vocabulary", "structure": "figures", "random": "random words"}

Head = tuple[int, int]


def start_head(answers: Answers) -> Head | None:
    """Return the head that is chosen first: of the smallest p, else the one that looks at the vocabulary most."""
    tested = answers.tested.drop_nulls("pvalue")
    if len(tested):
        order = [~is_significant(), pl.col("pvalue")]
        return tested.sort(order, nulls_last=True).select("layer", "head").row(0)
    if answers.head_means.is_empty() or not statistic_menu(answers):
        return None
    rows, name = first_choice(answers)
    here = answers.head_means.filter(pl.col("query_group") == rows).sort(name, descending=True, nulls_last=True)
    return here.select("layer", "head").row(0) if len(here) else None


def atlas_content(answers: Answers) -> dict[str, object] | None:
    """Return what the page needs to describe any head, JSON-ready; None when there is no head to describe."""
    start = start_head(answers)
    if start is None:
        return None
    rows, statistic = first_choice(answers)
    groups = answers["head_distributions"]["group"].unique(maintain_order=True).to_list()
    shown_rows = _rows_shown(answers, rows, len(groups))
    parts = [_facts(answers), _tests(answers), _causes(answers), _tokens(answers)]
    return {
        "shape": [answers.run.num_layers, answers.run.num_heads],
        "start": {"layer": start[0], "head": start[1], "rows": rows, "statistic": statistic},
        "groups": groups,
        "rows": row_menu(answers),
        "statistics": statistic_menu(answers),
        "shares": [name for name in statistic_menu(answers) if wording.statistic_unit(name) == "share of attention"],
        "distributions": _distributions(answers, shown_rows, groups),
        "lifts": _lifts(answers, _lift_rows_shown(answers, rows)),
        "heads": {
            f"{layer}.{head}": [part.get((layer, head), []) for part in parts]
            for layer, head in answers["head_types"].select("layer", "head").iter_rows()
        },
        "absent": _absent(answers),
    }


def _rows_shown(answers: Answers, first: str, num_groups: int) -> list[str]:
    """Return the query groups whose distributions fit into the page, the one shown first before the others."""
    ordered = [first, *(name for name in answers.run.query_groups if name != first)]
    each = len(statistic_menu(answers)) * len(answers["head_types"]) * num_groups * len(QUANTILES)
    return ordered[: max(1, MAX_NUMBERS // max(each, 1))]


def _distributions(
    answers: Answers, shown_rows: list[str], groups: list[str]
) -> dict[str, dict[str, dict[str, list[object]]]]:
    """Return query group to statistic to "layer.head" to, per group of samples, the quantiles and n; null if none."""
    names = list(statistic_menu(answers))
    frame = (
        answers["head_distributions"]
        .filter(pl.col("query_group").is_in(shown_rows) & pl.col("statistic").is_in(names))
        .with_columns(pl.col(list(QUANTILES)).cast(pl.Float64).round_sig_figs(3))
    )
    content: dict[str, dict[str, dict[str, list[object]]]] = {name: {} for name in shown_rows}
    columns = ["query_group", "statistic", "layer", "head", "group", *QUANTILES, "num_samples"]
    slots = {name: slot for slot, name in enumerate(groups)}
    for row in frame.select(columns).iter_rows():
        heads = content[row[0]].setdefault(row[1], {})
        heads.setdefault(f"{row[2]}.{row[3]}", [None] * len(groups))[slots[row[4]]] = list(row[5:])
    return content


def _lift_rows_shown(answers: Answers, first: str) -> list[str]:
    """Return the query groups whose lifts fit into the page, the one shown first before the others."""
    known = answers["head_lifts"]["query_group"].unique(maintain_order=True).to_list()
    ordered = [first, *(name for name in known if name != first)]
    each = 4 * answers["head_lifts"].filter(pl.col("query_group") == first).height
    return ordered[: max(1, MAX_NUMBERS // max(each, 1))]


def _lifts(answers: Answers, shown_rows: list[str]) -> dict[str, object]:
    """Return the key groups with name and kind, and per query group "layer.head" to mean, interval and n of each."""
    frame = (
        answers["head_lifts"]
        .filter(pl.col("query_group").is_in(shown_rows))
        .with_columns(pl.col("mean", "ci_low", "ci_high").round_sig_figs(3))
    )
    order = list(_KINDS)
    kinds = dict(frame.select("key_group", "kind").unique(maintain_order=True).iter_rows())
    names = sorted(kinds, key=lambda name: order.index(kinds[name]))
    rows: dict[str, dict[str, list[object]]] = {name: {} for name in shown_rows}
    columns = ("query_group", "layer", "head", "key_group", "mean", "ci_low", "ci_high", "num_samples")
    for row in frame.select(columns).iter_rows():
        here = rows[row[0]].setdefault(f"{row[1]}.{row[2]}", [None] * len(names))
        here[names.index(row[3])] = list(row[4:])
    randoms = [name for name in names if kinds[name] == "random"]
    labels = {name: f"random words {slot}" for slot, name in enumerate(randoms, start=1)}
    groups = [[labels.get(name) or wording.key_group_label(name), _KINDS[kinds[name]]] for name in names]
    return {"groups": groups, "rows": rows}


def _facts(answers: Answers) -> dict[Head, list[list[str]]]:
    """Return per head its type and the numbers behind it, as (what, text)."""
    vocabulary = wording.key_group_label(answers.vocabulary) if answers.vocabulary else "the vocabulary"
    by_head: dict[Head, list[list[str]]] = {}
    for row in answers["head_types"].iter_rows(named=True):
        fits = ", ".join(wording.head_type_label(name) for name in row["all_types"].split(", "))
        facts = [["Type", wording.head_type_label(row["head_type"])], ["All types that fit", fits]]
        if row["type_stability"] is not None:
            runner_up = f", else mostly {row['type_runner_up']}" if row["type_runner_up"] else ""
            stability = f"{wording.percent_text(row['type_stability'])} of resamples{runner_up}"
            facts.append(["Keeps its type in", stability])
        if row["vocabulary_lift"] is not None:
            interval = ""
            if row["vocabulary_lift_ci_low"] is not None:
                interval = f" ({row['vocabulary_lift_ci_low']:.2f} to {row['vocabulary_lift_ci_high']:.2f})"
            looking = wording.query_group_label(rows_of(answers.run, "all") or "all")
            what = f"Weight on {vocabulary} ({looking})"
            facts.append([what, f"{row['vocabulary_lift']:.2f} times uniform{interval}"])
        if row["random_lift"] is not None:
            pvalue = row["pvalue_random_adjusted"]
            tested = f", adjusted {wording.p_text(pvalue)} that {vocabulary} get more" if pvalue is not None else ""
            facts.append(
                [
                    "On random vocabularies",
                    f"{row['random_lift']:.2f} times uniform, at most {row['random_lift_max']:.2f}{tested}",
                ]
            )
        facts += [
            [name, wording.value_text(column, row[column])]
            for column, name in (
                ("entropy_normalized", "Entropy relative to uniform"),
                ("previous_token", "Weight on the previous token"),
                ("beginning", "Weight on the beginning"),
                ("diagonal", "Weight on the token itself"),
            )
            if row[column] is not None
        ]
        by_head[row["layer"], row["head"]] = facts
    return by_head


def _tests(answers: Answers) -> dict[Head, list[list[object]]]:
    """Return per head its tests with the smallest p: what, difference with interval, adjusted p, verdict."""
    tested = (
        answers["group_differences"].drop_nulls("pvalue").sort("pvalue").group_by("layer", "head", maintain_order=True)
    )
    certain = is_significant()
    several = answers["group_differences"]["comparison"].n_unique() > 1
    by_head: dict[Head, list[list[object]]] = {}
    for row in tested.head(NUM_TESTS).with_columns(is_significant=certain).iter_rows(named=True):
        name = row["statistic"]
        start = f"{row['comparison']}: " if several else ""
        what = f"{start}{wording.statistic_label(name)} ({wording.query_group_label(row['query_group'])})"
        ends = [wording.difference_text(name, row[end]) for end in ("difference", "ci_low", "ci_high")]
        again = row["is_replicated"]
        verdict = "not significant"
        if row["is_significant"]:
            verdict = "significant, " + (
                "replication not tested" if again is None else "replicated" if again else "not replicated"
            )
        by_head.setdefault((row["layer"], row["head"]), []).append(
            [
                what,
                f"{ends[0]} ({ends[1]} to {ends[2]})",
                wording.p_text(row["pvalue_adjusted"]),
                verdict,
                f"{row['num_a']:,} and {row['num_b']:,}",
            ]
        )
    return by_head


def _causes(answers: Answers) -> dict[Head, list[list[str]]]:
    """Return per head what intervening on it did, and what gradients say: what, change with interval, adjusted p, n."""
    order = {kind: slot for slot, kind in enumerate(("ablation", "amplification", "dla", "head_gradient", "patching"))}
    rows = answers["causal_effects"].filter((pl.col("measure") == "lead") & pl.col("head").is_not_null())
    rows = rows.drop_nulls("mean").with_columns(
        at=pl.col("kind").replace_strict(order, default=len(order), return_dtype=pl.Int32)
    )
    flips = answers["causal_effects"].filter(pl.col("measure") == "flip").select(*KEYS, flips="mean")
    rows = rows.join(flips, on=list(KEYS), how="left", nulls_equal=True, maintain_order="left")
    by_head: dict[Head, list[list[str]]] = {}
    ordered = rows.sort("at", "pvalue", maintain_order=True, nulls_last=True)
    for row in ordered.group_by("layer", "head", maintain_order=True).head(NUM_CAUSES).iter_rows(named=True):
        ends = "" if row["ci_low"] is None else f" ({nats_text(row['ci_low'])} to {nats_text(row['ci_high'])})"
        turned = "" if row["flips"] is None else f"; turns {wording.percent_text(row['flips'])} of the answers"
        label = cause_label(row)
        by_head.setdefault((row["layer"], row["head"]), []).append(
            [
                f"{label[0].upper()}{label[1:]}",
                f"{nats_text(row['mean'])}{ends}{turned}",
                wording.p_text(row["pvalue_adjusted"]),
                f"{row['num_samples']:,}",
            ]
        )
    return by_head


def _tokens(answers: Answers) -> dict[Head, list[list[object]]]:
    """Return per head the tokens its decision row weighs most: text, share, n."""
    by_head: dict[Head, list[list[object]]] = {}
    shown = {token: wording.visible_token(token) for token in answers["head_top_tokens"]["token"].unique()}
    for layer, head, token, mean, number in (
        answers["head_top_tokens"].select("layer", "head", "token", "mean", "num_samples").iter_rows()
    ):
        by_head.setdefault((layer, head), []).append([shown[token], float(f"{mean:.3g}"), number])
    return by_head


def _absent(answers: Answers) -> Mapping[str, str]:
    """Return why a part of the panel is empty, by the part's name."""
    absent: dict[str, str] = {}
    if answers["head_lifts"].is_empty():
        absent["lifts"] = why_no_words(answers.run, of_lift=True)
    if answers.tested["pvalue"].drop_nulls().is_empty():
        comparison = answers.comparison
        absent["tests"] = (comparison.problem if comparison else "") or "No comparison could be tested."
    if not has_causes(answers.run):
        absent["causes"] = "Not measured in this run: add a causal section to the config."
    elif answers["causal_effects"].filter(pl.col("head").is_not_null()).is_empty():
        absent["causes"] = "No cause was measured head by head."
    if answers["head_top_tokens"].is_empty():
        absent["tokens"] = "The run kept no decision_top_keys."
    return absent


def panel_figures(answers: Answers, content: Mapping[str, Any]) -> list[Figure]:
    """Return the charts of the panel, with the data of the head that is chosen first."""
    start, made = content["start"], []
    key = f"{start['layer']}.{start['head']}"
    values = content["distributions"].get(start["rows"], {}).get(start["statistic"], {}).get(key)
    if values:
        rows = [
            {"group": group, **dict(zip((*QUANTILES, "num_samples"), row, strict=True))}
            for group, row in zip(content["groups"], values, strict=True)
            if row is not None
        ]
        title = (
            f"Head {key}, {wording.query_group_label(start['rows'])}: "
            f"{wording.statistic_label(start['statistic']).lower()}"
        )
        is_share = start["statistic"] in content["shares"]
        chart = single_heads.head_distribution(answers.style, groups=content["groups"], title=title, is_share=is_share)
        guide = "How the values of the samples spread: median, middle half, and 5 to 95 %."
        made.append(
            Figure(
                "head_distribution",
                "Distribution",
                guide,
                named_rows(chart, rows=pl.DataFrame(rows)),
                ("head_distributions",),
                "panel",
            )
        )
    lifts = content["lifts"]["rows"].get(start["rows"], {}).get(key)
    if lifts:
        rows = [
            {"key_group": name, "kind": kind}
            | dict(zip(("mean", "ci_low", "ci_high", "num_samples"), row, strict=True))
            for (name, kind), row in zip(content["lifts"]["groups"], lifts, strict=True)
            if row is not None
        ]
        title = f"Head {key}, {wording.query_group_label(start['rows'])}: weight over that of uniform attention"
        has_any = any(row["ci_low"] is not None for row in rows)
        chart = single_heads.head_lifts(answers.style, num_rows=len(lifts), has_intervals=has_any, title=title)
        guide = "Weight over that of uniform attention, with intervals; random vocabularies beside the words."
        made.append(
            Figure("head_lift", "Lift", guide, named_rows(chart, rows=pl.DataFrame(rows)), ("head_lifts",), "panel")
        )
    return made
