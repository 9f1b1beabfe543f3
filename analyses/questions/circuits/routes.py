"""Ways of edges through a graph in rows: straight where no node stands in the way, else bent around it.

A bent edge leaves its ends straight upwards and crosses the rows between them straight upwards too, in gaps between
nodes; its slopes lie between the rows, so that none of them grazes a node. Of these bends those are taken out that it
does not need.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

Point = tuple[float, float]
"""A place across, as a share of the width, and a height in rows."""
CLEARANCE = 0.03
"""Share of the width that is kept free on either side of a node, where its row has room for it."""
REACH = 0.25
"""Rows above and below a node within which an edge has no slope."""
_LANE = 0.012
"""Share of the width between two edges in one gap, where it has room for it."""


def edge_ways(edges: Sequence[tuple[Point, Point]], nodes: Sequence[Point]) -> list[list[Point]]:
    """Return the points through which each edge is drawn.

    Parameters
    ----------
    edges
        The lower and the upper end of each, at a node or a little beside it.
    nodes
        Where nodes stand; heights are whole numbers.

    Returns
    -------
    list
        Of each edge its ends, and between them the points where it bends.
    """
    rows: defaultdict[int, list[float]] = defaultdict(list)
    for x, y in sorted(nodes):
        rows[round(y)].append(x)
    others = [_others(edge, rows) for edge in edges]
    bent = [number for number, edge in enumerate(edges) if not _is_free(edge, others[number])]
    wanted: defaultdict[tuple[int, float, float], list[tuple[float, int]]] = defaultdict(list)
    for number in bent:
        for row, x in _crossings(edges[number]):
            if row in rows:
                wanted[row, *_gap(rows[row], x)].append((x, number))
    through: defaultdict[int, dict[int, float]] = defaultdict(dict)
    for (row, lowest, highest), asked in wanted.items():
        asked.sort()
        places = _lanes([x for x, _ in asked], lowest, highest)
        for (_, number), place in zip(asked, places, strict=True):
            through[number][row] = place
    ways = [[start, end] for start, end in edges]
    for number in bent:
        ways[number] = _with_few_bends(_bent(edges[number], through[number]), others[number])
    return ways


def _others(edge: tuple[Point, Point], rows: Mapping[int, Sequence[float]]) -> list[Point]:
    """Return the nodes of all rows from one end to the other, the ends aside."""
    found: list[Point] = []
    for row in range(round(edge[0][1]), round(edge[1][1]) + 1):
        places = rows.get(row, ())
        ends = [min(places, key=lambda place: abs(place - end)) for end, height in edge if round(height) == row]
        found += [(place, row) for place in places if place not in ends]
    return found


def _is_free(line: tuple[Point, Point], nodes: Sequence[Point]) -> bool:
    """Whether a straight line stays away from nodes."""
    return all(_distance(node, line) >= 1 for node in nodes)


def _with_few_bends(way: Sequence[Point], nodes: Sequence[Point]) -> list[Point]:
    """Return a way that goes on straight from each bend as far as nodes let it."""
    kept, place = [way[0]], 0
    while place < len(way) - 1:
        further = range(len(way) - 1, place + 1, -1)
        place = next((other for other in further if _is_free((way[place], way[other]), nodes)), place + 1)
        kept.append(way[place])
    return kept


def _distance(node: Point, edge: tuple[Point, Point]) -> float:
    """Return how far a node is from a line: 1 at the border of what is kept free around it."""
    (a, b), (c, d) = (((x - node[0]) / CLEARANCE, (y - node[1]) / REACH) for x, y in edge)
    length = (c - a) ** 2 + (d - b) ** 2
    along = min(max(-(a * (c - a) + b * (d - b)) / length, 0.0), 1.0) if length else 0.0
    return math.hypot(a + along * (c - a), b + along * (d - b))


def _crossings(edge: tuple[Point, Point]) -> list[tuple[int, float]]:
    """Return the rows between two ends, and where the straight line crosses them."""
    (x, y), (x2, y2) = edge
    return [(row, x + (x2 - x) * (row - y) / (y2 - y)) for row in range(round(y) + 1, round(y2))]


def _gaps(row: Sequence[float]) -> list[tuple[float | None, float | None]]:
    """Return the nodes left and right of every gap of a row; None beyond its ends."""
    return list(zip([None, *row], [*row, None], strict=True))


def _margin(left: float | None, right: float | None) -> float:
    """Return how far from both nodes a gap can be crossed."""
    if left is None:
        return 1.0 if right is None else right
    return 1 - left if right is None else (right - left) / 2


def _gap(row: Sequence[float], x: float) -> tuple[float, float]:
    """Return between which places a row is crossed: in the nearest gap with room, or else in the widest."""
    gaps = [gap for gap in _gaps(row) if _margin(*gap) >= CLEARANCE]
    spans = [_span(*gap) for gap in gaps or [max(_gaps(row), key=lambda gap: _margin(*gap))]]
    return min(spans, key=lambda span: max(span[0] - x, x - span[1], 0.0))


def _span(left: float | None, right: float | None) -> tuple[float, float]:
    """Return between which places a gap is crossed, as far from its nodes as it has room."""
    kept = min(CLEARANCE, _margin(left, right))
    return (0.0 if left is None else left + kept), (1.0 if right is None else right - kept)


def _lanes(wanted: Sequence[float], lowest: float, highest: float) -> list[float]:
    """Return places within bounds for edges, in order and beside each other, near to where they are wanted."""
    step = min(_LANE, max(highest - lowest, 0.0) / max(len(wanted) - 1, 1))
    places: list[float] = []
    for number, x in enumerate(wanted):
        least = places[-1] + step if places else lowest
        most = highest - step * (len(wanted) - 1 - number)
        places.append(min(max(x, least), max(most, lowest)))
    return places


def _bent(edge: tuple[Point, Point], through: Mapping[int, float]) -> list[Point]:
    """Return the way of an edge that crosses rows at given places."""
    (x, y), (x2, y2) = edge
    points = [(x, y), (x, y + REACH)]
    for row, place in sorted(through.items()):
        points += [(place, row - REACH), (place, row + REACH)]
    return [*points, (x2, y2 - REACH), (x2, y2)]
