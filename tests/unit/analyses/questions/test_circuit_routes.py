"""Edges of a circuit's graph: none passes within a node that is not its end."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyses.questions.circuits.routes import CLEARANCE, REACH, edge_ways


def touched(way, ends, nodes):
    """Return how near a way comes to another node: 1 is the border of what is kept free around it."""
    nearest = math.inf
    for x, y in nodes:
        if (x, y) in ends:
            continue
        reach = min([CLEARANCE, *(abs(x - end) for end, height in ends if height == y)])
        for (a, b), (c, d) in pairwise(way):
            for part in range(41):  # dense enough for slopes of three rows across the whole width
                dx, dy = a + (c - a) * part / 40 - x, b + (d - b) * part / 40 - y
                nearest = min(nearest, math.hypot(dx / reach, dy / REACH))
    return nearest


@st.composite
def graphs(draw):
    sizes = draw(st.lists(st.integers(1, 14), min_size=2, max_size=6))
    shift = draw(st.floats(-0.25, 0.25))
    nodes = [
        ((place + 1 + shift * (-1) ** row) / (size + 1), row) for row, size in enumerate(sizes) for place in range(size)
    ]
    heights = [(low, high) for high in range(len(sizes)) for low in range(high)]
    of_row = [st.sampled_from([node for node in nodes if node[1] == row]) for row in range(len(sizes))]
    pairs = st.sampled_from(heights).flatmap(lambda pair: st.tuples(*(of_row[row] for row in pair)))
    return nodes, draw(st.lists(pairs, min_size=1, max_size=30))


@settings(max_examples=60, deadline=None)
@given(graphs(), st.sampled_from([-0.008, 0.0, 0.008]))
def test_no_edge_passes_within_a_node_that_is_not_its_end(graph, beside):
    nodes, edges = graph
    ways = edge_ways([(start, (end[0] + beside, end[1])) for start, end in edges], nodes)
    for way, (start, end) in zip(ways, edges, strict=True):
        assert way[0] == start and way[-1] == (end[0] + beside, end[1])
        assert all(lower <= upper for (_, lower), (_, upper) in pairwise(way))
        assert touched(way, {start, end}, nodes) > 1 - 1e-9 - abs(beside) / min(CLEARANCE, 1 / 16)


STRAIGHT = [(0.5, 0), (0.2, 1), (0.5, 2)]
BEHIND = [(0.5, 0), (0.5, 1), (0.5, 2)]


@pytest.mark.parametrize("nodes", [STRAIGHT, BEHIND], ids=["nothing in the way", "a head in the way"])
def test_edges_bend_only_where_they_must(nodes):
    (way,) = edge_ways([(nodes[0], nodes[2])], nodes)
    assert (len(way) == 2) is (nodes is STRAIGHT)
    assert all(0 <= x <= 1 for x, _ in way)


def test_edges_through_one_gap_lie_beside_each_other():
    nodes = [(0.4, 0), (0.6, 0), (0.48, 1), (0.52, 1), (0.7, 1), (0.4, 2), (0.6, 2)]
    pairs = [(low, high) for low in nodes[:2] for high in nodes[5:] if low[0] != high[0]]
    crossed = [way[1:-1] for way in edge_ways([*pairs, ((0.5, 0), (0.5, 2))], [*nodes, (0.5, 0), (0.5, 2)])]
    assert all(0 < len(bends) <= 2 for bends in crossed) and len({bends[0] for bends in crossed}) == 3


@pytest.mark.parametrize(
    ("row", "crossed"),
    [
        ([*(0.02 + 0.03 * place for place in range(20)), 0.66, 0.98], 0.59 + CLEARANCE),
        ([*(0.02 + 0.03 * place for place in range(16)), 0.51, *(0.54 + 0.03 * place for place in range(16))], 0.49),
    ],
    ids=["the nearest gap with room", "the widest one where none has room"],
)
def test_where_a_crowded_row_is_crossed(row, crossed):
    (way,) = edge_ways([((0.47, 0), (0.47, 2))], [(0.47, 0), (0.47, 2), *((x, 1) for x in row)])
    assert crossed in [pytest.approx(x) for x, _ in way]
