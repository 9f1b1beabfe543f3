"""Which right prediction is matched with each wrong one.

The right one says what the wrong one should have said, where that is known, or else something else than it said. It is
of the same cluster, or from anywhere, as the config asks; among those that fit, the nearest in the size of the margin
and in length, each in standard deviations over all samples; of equally near ones, the first by id.

Right predictions are laid into trees, one for every label, for every cluster and for both, so that each wrong one looks
at a few of them: n log n for n samples, whatever their labels and clusters.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from engine.config.causes.method import Matching
from engine.storage.planned.units import Partner

COLUMNS = (
    "sample_id",
    "cluster",
    "is_correct",
    "actual_label",
    "predicted_label",
    "logit_difference",
    "num_tokens",
)
"""Columns of ``samples`` that matching looks at."""


_LEAF = 8
"""Points of a tree's leaf at most."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A measured sample as matching sees it; ``x`` and ``y`` are its standardised margin size and length."""

    partner: Partner
    row: dict[str, object]
    x: float
    y: float

    @property
    def said(self) -> object:
        """The label that it predicted."""
        return self.row["predicted_label"]


def matches(samples: pa.Table, sources: Mapping[str, str], matching: Matching) -> dict[str, Partner]:
    """Return the match of every wrong prediction that has one, by its sample id.

    Parameters
    ----------
    samples
        All measured samples, with ``COLUMNS``.
    sources
        The measure unit of each, by sample id.
    matching
        Where matches come from.
    """
    everyone = _candidates(samples, sources)
    pools = _Pools([one for one in everyone if one.row["is_correct"]])
    found: dict[str, Partner] = {}
    for wrong in everyone:
        if wrong.row["is_correct"] is not False:
            continue
        cluster, nearest = wrong.row["cluster"], None
        if matching != "nearest" and cluster is not None:
            nearest = pools.nearest(wrong, cluster)
        if nearest is None and matching != "cluster":
            nearest = pools.nearest(wrong)
        if nearest is not None:
            found[wrong.partner.sample_id] = nearest.partner
    return found


def _candidates(samples: pa.Table, sources: Mapping[str, str]) -> list[_Candidate]:
    rows = [row for row in samples.select(COLUMNS).to_pylist() if row["logit_difference"] is not None]
    if not rows:
        return []
    places = np.array([[abs(row["logit_difference"]), np.log(row["num_tokens"])] for row in rows])
    spread = places.std(axis=0)
    places = (places - places.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return [
        _Candidate(Partner(sources[row["sample_id"]], row["sample_id"]), row, x, y)
        for row, (x, y) in zip(rows, places.tolist(), strict=True)
    ]


class _Pools:
    """Right predictions by label and cluster, each pool with a tree once it is asked."""

    def __init__(self, right: Iterable[_Candidate]):
        self.members: dict[tuple[Hashable, Hashable], list[_Candidate]] = {}
        for one in right:
            for cluster in {None, one.row["cluster"]}:
                self.members.setdefault((cluster, ()), []).append(one)
                self.members.setdefault((cluster, (one.said,)), []).append(one)
        self.trees: dict[tuple[Hashable, Hashable], _Node] = {}

    def nearest(self, wrong: _Candidate, cluster: Hashable = None) -> _Candidate | None:
        """Return the nearest right prediction, of a cluster or of all, that says what the wrong one should have said.

        Where that is not known, one that says something else.
        """
        actual = wrong.row["actual_label"]
        key = (cluster, () if actual is None else (actual,))
        if key not in self.members:
            return None
        if key not in self.trees:
            self.trees[key] = _tree(_distinct(self.members[key]))
        return _nearest(self.trees[key], wrong, () if actual is not None else (wrong.said,))


def _distinct(members: Sequence[_Candidate]) -> list[_Candidate]:
    """Return those that can be the nearest: at each place the first by id, and the first that says something else."""
    places: dict[tuple[float, float], list[_Candidate]] = {}
    for one in sorted(members, key=lambda one: one.partner.sample_id):
        here = places.setdefault((one.x, one.y), [])
        if not here or (len(here) == 1 and here[0].said != one.said):
            here.append(one)
    return [one for here in places.values() for one in here]


@dataclass(frozen=True, slots=True)
class _Node:
    """A part of a tree: a leaf's members, or two parts on both sides of a margin size (0) or a length (1).

    ``only`` holds the label where all members say the same.
    """

    members: Sequence[_Candidate] = ()
    axis: int = 0
    split: float = 0.0
    sides: tuple[_Node, ...] = ()
    only: tuple[object, ...] = field(default=())


def _tree(members: list[_Candidate]) -> _Node:
    said = {one.said for one in members}
    only = tuple(said) if len(said) == 1 else ()
    if len(members) <= _LEAF:
        return _Node(members, only=only)
    x, y = [one.x for one in members], [one.y for one in members]
    axis = int(max(y) - min(y) > max(x) - min(x))
    ordered = sorted(members, key=lambda one: (one.x, one.y)[axis])
    half = len(ordered) // 2
    split = (ordered[half].x, ordered[half].y)[axis]
    return _Node((), axis, split, (_tree(ordered[:half]), _tree(ordered[half:])), only)


def _nearest(tree: _Node, wrong: _Candidate, without: tuple[object, ...]) -> _Candidate | None:
    """Return the member with the smallest distance and, of equal ones, the first id, but none that says ``without``.

    Rounding is monotone, so a side's distance is never above that of its members, and none is passed over.
    """
    best: _Candidate | None = None
    least, name = float("inf"), ""
    stack = [(0.0, tree)]
    while stack:
        bound, node = stack.pop()
        if bound > least or (without and node.only == without):
            continue
        for one in node.members:
            across, along = one.x - wrong.x, one.y - wrong.y
            distance = across * across + along * along
            is_nearer = distance < least or (distance == least and one.partner.sample_id < name)
            if is_nearer and (not without or one.said != without[0]):
                best, least, name = one, distance, one.partner.sample_id
        if node.sides:
            gap = (wrong.x, wrong.y)[node.axis] - node.split
            near = int(gap >= 0)
            # The nearer side last, so that it is looked at first.
            stack += [(max(bound, gap * gap), node.sides[1 - near]), (bound, node.sides[near])]
    return best
