"""Between measuring and explaining: which samples are explained, and what is needed of all of them beforehand.

Causal units are cut from the measure units, in their order; dataset means, resample partners and screened heads are
made in that order too, stored under ``plan/`` and fingerprinted, so that a run that was stopped goes on with the same.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine.causal.circuits.edges import candidate_edges
from engine.causal.circuits.held_out import held_out
from engine.causal.matching import COLUMNS, matches
from engine.config import Config, TopHeads
from engine.config.causes.method import RunFacts
from engine.errors import ConfigError, RunFailedError
from engine.inputs.selection import drawn_rows
from engine.schema.layout import CAUSAL_UNITS, PREPARATION_UNITS, RANKING_UNITS
from engine.storage.planned.units import CausalPlan, CircuitPlan, Partner, PlannedUnit, ScreenedHeads
from engine.storage.run_directory import RunDirectory

MEANS_SCHEMA = pa.schema(
    [pa.field("layer", pa.int32()), pa.field("head", pa.int32()), pa.field("mean", pa.list_(pa.float32()))]
)


def causal_units(config: Config, run_dir: RunDirectory, prefix: str = CAUSAL_UNITS) -> list[PlannedUnit]:
    """Return the causal units, or those that prepare them: measured samples, as many as asked for."""
    planned = run_dir.plan.units()
    measured = [
        (manifest["unit"], sample_id)
        for manifest in run_dir.ledger.manifests(planned)
        for sample_id in manifest["sample_ids"]
    ]
    chosen = drawn_rows(list(range(len(measured))), config.causal.max_samples, config.run.seed)
    by_source: dict[str, list[str]] = {}
    for number, (source, sample_id) in enumerate(measured):
        if number in chosen:
            by_source.setdefault(source, []).append(sample_id)
    return [PlannedUnit(f"{prefix}{number:05d}", ids, source) for number, (source, ids) in enumerate(by_source.items())]


def preparation_units(config: Config, run_dir: RunDirectory) -> list[PlannedUnit]:
    """Return the units that prepare the dataset's means and screened heads; none when neither is asked for."""
    causal = config.causal
    if causal.mean_rows is None and not causal.num_screened and not causal.num_ablated:
        return []
    units = causal_units(config, run_dir, PREPARATION_UNITS)
    preparation = run_dir.preparation
    preparation.start()
    preparation.plan.write_units(units)
    return units


def ranking_units(config: Config, run_dir: RunDirectory) -> list[PlannedUnit]:
    """Return the units that linearise circuits' edges, cut like the causal units; none without a circuit.

    What they share is written down beside the preparation, as ``plan/causal.json`` is beside the run.

    Raises
    ------
    ConfigError, RunFailedError
        As ``write_causal_plan``.
    """
    if config.causal.circuit is None:
        return []
    run_dir.preparation.start()
    plan = _causal_plan(config, run_dir, RANKING_UNITS)
    run_dir.preparation.plan.write_causal(plan)
    return plan.units


def ranking_unit(name: str) -> str:
    """Return the ranking unit with a causal unit's samples."""
    return RANKING_UNITS + name.removeprefix(CAUSAL_UNITS)


def write_causal_plan(config: Config, run_dir: RunDirectory) -> None:
    """Write ``plan/causal.json`` once everything it depends on is committed.

    Raises
    ------
    ConfigError
        When there is only one sample to resample from.
    RunFailedError
        When no sample could be prepared.
    """
    plan = _causal_plan(config, run_dir, CAUSAL_UNITS)
    if plan.circuit is not None:
        plan = replace(plan, circuit=_ranked(config, run_dir, plan))
    run_dir.plan.write_causal(plan)


def _causal_plan(config: Config, run_dir: RunDirectory, prefix: str) -> CausalPlan:
    """Return what causal units, or those that rank edges, share; edges are not ranked yet."""
    units = causal_units(config, run_dir, prefix)
    config.causal.check(RunFacts(num_samples=sum(len(unit.sample_ids) for unit in units)))
    partners = _partners(units, config.run.seed) if config.causal.needs_partners else {}
    prepared = run_dir.preparation.plan.units()
    fingerprints: dict[str, str] = {}
    if config.causal.mean_rows is not None:
        asking = next(name for name, part in config.causal.parts.items() if part.mean_rows is not None)
        run_dir.plan.write_table("head_means", _means(run_dir, prepared, f"causal.{asking}"))
        fingerprints["head_means"] = run_dir.plan.table_digest("head_means")
    screened = ScreenedHeads([], [])
    if config.causal.num_screened:
        screened = _screened(run_dir, prepared, config.causal.num_screened, config.run.seed)
    matched = _matched(config, run_dir, units)
    return CausalPlan(
        units=units,
        partners=partners,
        screened=screened,
        fingerprints=fingerprints,
        matched=matched,
        circuit=_circuit(config, run_dir, prepared, units, matched),
    )


def _circuit(
    config: Config,
    run_dir: RunDirectory,
    prepared: list[PlannedUnit],
    units: list[PlannedUnit],
    matched: dict[str, Partner],
) -> CircuitPlan | None:
    """Return heads and key groups of the circuit, and who verifies it; None without one."""
    settings = config.causal.circuit
    if settings is None:
        return None
    pairs = {sample_id: match.sample_id for sample_id, match in matched.items()} if settings.matching else {}
    explained = [sample_id for unit in units for sample_id in unit.sample_ids]
    able = [sample_id for sample_id in explained if sample_id in pairs] if settings.matching else explained
    table = _samples(run_dir, ("sample_id", "cluster"))
    clusters = dict(zip(table["sample_id"].to_pylist(), table["cluster"].to_pylist(), strict=True))
    kept_apart = held_out(able, clusters, pairs, settings.selection, config.run.seed)
    # What verifies has a say in nothing, and neither do other samples of its clusters.
    apart = {clusters[sample_id] for sample_id in kept_apart} - {None}
    silent = {sample_id for sample_id, cluster in clusters.items() if cluster in apart} | set(kept_apart)
    if isinstance(settings.heads, list):
        heads = sorted(set(settings.heads))
    elif isinstance(settings.heads, TopHeads):
        heads = _strongest(run_dir, prepared, "screening", "head_gradient", settings.heads.top, silent)
    else:
        heads = _strongest(run_dir, prepared, "ablated", "change", settings.heads.ablated, silent)
    planned = run_dir.plan.read()
    assert planned is not None
    drawn = planned.random_vocabularies
    groups = settings.key_groups or [name for name in planned.key_groups if name not in drawn]
    return CircuitPlan(heads, list(dict.fromkeys(groups)), [], [], kept_apart)


def _ranked(config: Config, run_dir: RunDirectory, plan: CausalPlan) -> CircuitPlan:
    """Return the circuit with its edges, the strongest first by mean size over those that choose, and random orders.

    Raises
    ------
    RunFailedError
        When no sample's edges could be linearised.
    """
    circuit, settings = plan.circuit, config.causal.circuit
    assert circuit is not None and settings is not None
    edges, kept_apart = candidate_edges(circuit.heads, circuit.key_groups), set(circuit.held_out)
    sums, numbers = np.zeros(len(edges)), np.zeros(len(edges), dtype=np.int64)
    for unit in plan.units:
        table = pq.read_table(run_dir.preparation.ledger.table_path(ranking_unit(unit.name), "ranking"))
        for sample_id, effects in zip(table["sample_id"].to_pylist(), table["effects"].to_pylist(), strict=True):
            if effects and sample_id not in kept_apart:
                known = ~np.isnan(effects)
                sums += np.where(known, np.abs(effects), 0.0)
                numbers += known
    if not numbers.any():
        first = run_dir.preparation.ledger.first_reject()
        raise RunFailedError(f"{run_dir.root}: no sample's edges could be linearised for causal.circuit: {first}")
    order = [edges[place] for place in np.argsort(-sums / np.maximum(numbers, 1), kind="stable")]
    places = list(range(sum(edge.is_between_heads for edge in order)))
    controls = []
    for draw in range(settings.controls):
        shuffled = places.copy()
        random.Random(f"{config.run.seed}:circuit:{draw}").shuffle(shuffled)
        controls.append(shuffled)
    return circuit._replace(edges=[edge.to_json() for edge in order], controls=controls)


def _strongest(
    run_dir: RunDirectory,
    prepared: list[PlannedUnit],
    table: str,
    column: str,
    top: int,
    silent: Collection[str] = (),
) -> list[tuple[int, int]]:
    """Return the heads with the largest mean size of a column of a prepared table over all samples but silent ones.

    Raises
    ------
    RunFailedError
        When no sample has any.
    """
    scores = _sizes(run_dir, prepared, table, column, silent)
    if not scores:
        first = run_dir.preparation.ledger.first_reject()
        raise RunFailedError(f"{run_dir.root}: no sample could be screened for causal heads, the first: {first}")
    return sorted(sorted(scores, key=lambda pair: (-scores[pair], pair))[:top])


def _sizes(
    run_dir: RunDirectory, prepared: list[PlannedUnit], table: str, column: str, silent: Collection[str] = ()
) -> defaultdict[tuple[int, int], float]:
    """Return the summed size of a column of a prepared table by layer and head."""
    scores: defaultdict[tuple[int, int], float] = defaultdict(float)
    for unit in prepared:
        rows = pq.read_table(run_dir.preparation.ledger.table_path(unit.name, table))
        columns = (rows[name].to_pylist() for name in ("sample_id", "layer", "head", column))
        for sample_id, layer, head, score in zip(*columns, strict=True):
            if sample_id not in silent:
                scores[layer, head] += abs(score)
    return scores


def _partners(units: list[PlannedUnit], seed: int) -> dict[str, Partner]:
    """Return every sample's partner: the next in one seeded cycle through all samples."""
    everyone = [Partner(unit.source, sample_id) for unit in units for sample_id in unit.sample_ids]
    random.Random(f"{seed}:resample").shuffle(everyone)
    return {one.sample_id: partner for one, partner in zip(everyone, [*everyone[1:], everyone[0]], strict=True)}


def _matched(config: Config, run_dir: RunDirectory, units: list[PlannedUnit]) -> dict[str, Partner]:
    """Return the right prediction that is matched with each wrong one that is explained, out of all measured samples.

    Raises
    ------
    ConfigError
        When no wrong prediction has a match.
    """
    matching = config.causal.matching
    if matching is None:
        return {}
    committed = run_dir.ledger.committed()
    units_of = [committed[unit.name] for unit in run_dir.plan.units()]
    sources = {sample_id: unit.manifest["unit"] for unit in units_of for sample_id in unit.manifest["sample_ids"]}
    samples = _samples(run_dir, COLUMNS)
    explained = {sample_id for unit in units for sample_id in unit.sample_ids}
    found = {
        sample_id: match for sample_id, match in matches(samples, sources, matching).items() if sample_id in explained
    }
    if not found:
        raise ConfigError(
            f"{_asking(config)}: {matching!r} finds no right prediction for any wrong one that is explained (it "
            f"must say what the wrong one should have said). Use nearest, or explain more samples (causal.max_samples)."
        )
    return found


def _samples(run_dir: RunDirectory, columns: Sequence[str]) -> pa.Table:
    """Return some columns of all measured samples."""
    committed = run_dir.ledger.committed()
    # Units that were merged share a folder.
    folders = dict.fromkeys(committed[unit.name].folder for unit in run_dir.plan.units())
    return pa.concat_tables(pq.read_table(folder / "samples.parquet", columns=list(columns)) for folder in folders)


def _asking(config: Config) -> str:
    """Return the config path that asks for matches."""
    return "causal.matched.match" if config.causal.matched else "causal.circuit.replace: matched"


def _means(run_dir: RunDirectory, prepared: list[PlannedUnit], asking: str) -> pa.Table:
    """Return every head's mean output, summed in unit order; ``asking`` is the config path that needs it."""
    sums: dict[tuple[int, int], np.ndarray] = {}
    num_rows = 0
    for unit in prepared:
        rows = pq.read_table(run_dir.preparation.ledger.table_path(unit.name, "head_sums")).to_pylist()
        num_rows += rows[0]["num_rows"] if rows else 0
        for row in rows:
            head = (row["layer"], row["head"])
            sums[head] = sums.get(head, 0) + np.array(row["sum"])
    if not num_rows:
        first = run_dir.preparation.ledger.first_reject()
        raise RunFailedError(f"{run_dir.root}: no sample could be prepared for {asking}, the first: {first}")
    columns = {
        "layer": [layer for layer, _ in sums],
        "head": [head for _, head in sums],
        "mean": [total / num_rows for total in sums.values()],
    }
    return pa.table(columns, schema=MEANS_SCHEMA)


def _screened(run_dir: RunDirectory, prepared: list[PlannedUnit], top: int, seed: int) -> ScreenedHeads:
    """Return the heads with the largest mean ``|head_gradient|``, and for each a random other head of its layer.

    A layer that has fewer other heads than top ones gives all that it has.
    """
    chosen = _strongest(run_dir, prepared, "screening", "head_gradient", top)
    scores = _sizes(run_dir, prepared, "screening", "head_gradient")
    generator = random.Random(f"{seed}:screening")
    matched: list[tuple[int, int]] = []
    for layer in sorted({layer for layer, _ in chosen}):
        others = [pair for pair in sorted(scores) if pair[0] == layer and pair not in chosen]
        wanted = sum(pair[0] == layer for pair in chosen)
        matched += generator.sample(others, min(wanted, len(others)))
    return ScreenedHeads(chosen, sorted(matched))
