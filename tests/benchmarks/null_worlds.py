"""What do whole reports claim where nothing is true? ``nice -19 python -m tests.benchmarks.null_worlds [--seeds 200]``.

Every world of ``worlds.NULL_WORLDS`` is written as a run and analysed as any other run; claims are counted in the
report's sentences, from the data that every sentence carries (``analyses.questions.claims``), by chapter and for the
primary family and the further findings. ``--power`` does the same where something was planted. Nothing is written.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import polars as pl

from analyses.inference.clustered_means import wilson_interval
from analyses.questions.answers import Answers
from analyses.questions.circuits.sentences import EDGES_FAMILY
from analyses.questions.claims import PRIMARY, Claim, claims_of
from analyses.questions.families import CHECKS
from analyses.reporting.analysis import answer_questions
from analyses.reporting.findings import findings
from analyses.runs.run import open_tables
from analyses.settings.analysis import AnalysisSettings
from analyses.settings.visualization import VisualizationSettings
from tests.benchmarks.worlds import NULL_WORLDS, PLANTED_WORLDS, World, write_world

ALPHA = 0.05

TARGET = "mass_revenue 1.2"
"""Head that carries what is planted."""


def claims_in(world: World, seed: int, analysis: Mapping[str, object] | None = None) -> list[Claim]:
    """Return every finding that the report on a world claims."""
    return _report(world, seed, analysis)[1]


def _report(world: World, seed: int, analysis: Mapping[str, object] | None = None) -> tuple[Answers, list[Claim]]:
    with tempfile.TemporaryDirectory() as folder:
        run = open_tables(write_world(Path(folder) / "run", world, seed, analysis))
        settings = AnalysisSettings.from_mapping(run.config["analysis"])
        answers = answer_questions(run, settings, VisualizationSettings.from_mapping({}))
        told = [line for lines in findings(answers).values() for line in lines]
    return answers, [claim for line in told for claim in claims_of(line) if claim.is_finding]


def is_true(claim: Claim, world: World) -> bool:
    """Return whether a claim is true of a world: what is planted, and the year's own drift."""
    if claim.kind == "correlation" and world.drift and claim.subject.split()[0] == "year":
        return True
    if claim.kind == "order" and (world.window or world.gaps):
        # Every other layer is local, or one is constant, so layers do differ.
        return True
    return bool(world.planted)


def count(world: World, seeds: Iterable[int]) -> Counter[str]:
    """Return in how many runs something false is claimed: of the primary family, of all others, by chapter and kind."""
    counted: Counter[str] = Counter()
    for seed in seeds:
        false = [claim for claim in claims_in(world, seed) if not is_true(claim, world)]
        names = {"primary" if claim.family == PRIMARY else "further" for claim in false}
        names |= {f"chapter {claim.chapter}" for claim in false if claim.family != PRIMARY}
        names |= {f"kind {claim.kind}" for claim in false if claim.family != PRIMARY}
        counted.update(names)
    return counted


def hits(world: World, seeds: Iterable[int]) -> Counter[str]:
    """Return in how many runs what is planted is claimed: the head, its layer, the interaction, an edge."""
    counted: Counter[str] = Counter()
    for seed in seeds:
        answers, found = _report(world, seed)
        row = answers.tested.filter((pl.col("statistic") == "mass_revenue") & (pl.col("layer") == 1))
        row = row.filter(pl.col("head") == 2).row(0, named=True)
        for check in CHECKS:
            counted[f"not {check}"] += (row[check] or 0.0) > ALPHA
        counted["first three"] += all((row[check] or 0.0) <= ALPHA for check in CHECKS[:3])
        counted["head"] += any(claim.family == PRIMARY and TARGET in claim.subject for claim in found)
        counted["layer"] += any(claim.kind == "stretch" and "mass_revenue" in claim.subject for claim in found)
        counted["interaction"] += any(claim.kind == "interaction" for claim in found)
        counted["edge"] += any(claim.family == EDGES_FAMILY for claim in found)
    return counted


def _rate(number: int, seeds: int) -> str:
    low, high = wilson_interval(number, seeds)
    return f"{number} ({100 * low:.0f} to {100 * high:.0f} %)"


def main() -> None:
    """Print a table of worlds, as Markdown."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="the first seed: other runs than those before it")
    parser.add_argument("--worlds", nargs="+", choices=[*NULL_WORLDS, *PLANTED_WORLDS], metavar="WORLD")
    parser.add_argument("--power", action="store_true", help="worlds in which something is planted")
    options = parser.parse_args()
    table = PLANTED_WORLDS if options.power else NULL_WORLDS
    chosen = {name: (NULL_WORLDS | PLANTED_WORLDS)[name] for name in options.worlds or table}
    seeds = range(options.first, options.first + options.seeds)
    started = time.process_time()
    if options.power:
        print(
            "| planted | runs | head | head by the first three checks | layer | interaction | edge | checks that fail |"
        )
        print("|---|---|---|---|---|---|---|---|")
    else:
        print("| world | runs | primary | further | of these by kind |\n|---|---|---|---|---|")
    for name, world in chosen.items():
        if options.power:
            found = hits(world, seeds)
            kinds = ("head", "first three", "layer", "interaction", "edge")
            failing = ", ".join(f"{check.removeprefix('pvalue_')} {found[f'not {check}']}" for check in CHECKS)
            columns = [*(_rate(found[kind], options.seeds) for kind in kinds), failing]
        else:
            found = count(world, seeds)
            kinds = ", ".join(f"{one.removeprefix('kind ')} {n}" for one, n in found.items() if one.startswith("kind"))
            columns = [_rate(found[kind], options.seeds) for kind in ("primary", "further")] + [kinds or "none"]
        print(f"| {name} | {options.seeds} | {' | '.join(columns)} |", flush=True)
    print(f"\n{time.process_time() - started:,.0f} CPU s")


if __name__ == "__main__":
    main()
