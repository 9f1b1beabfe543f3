"""Triton kernels of the fused backend behind the attention: matches, the decision row, and means over query groups.

They read each row's log-sum-exp, so that no maximum is looked for again. Shape legend and units: ``kernels``.
"""

# Triton has no wheels for some platforms, and its compiler, not Python, binds the names below.
# pyright: reportMissingImports=false, reportPossiblyUnboundVariable=false, reportArgumentType=false

from __future__ import annotations

import triton
import triton.language as tl

from engine.attention.backends.fused.kernels import LOG2E, bias_of, first_visible, score_factor, tanh, tile_products
from engine.attention.layout import INDEX

DUPLICATE, INDUCTION = tl.constexpr(INDEX["duplicate_token"]), tl.constexpr(INDEX["induction"])


@triton.jit(do_not_specialize=["total", "window", "num_statistics", "bias_head"])
def matches_kernel(
    query_ptr, key_ptr, softmax_ptr, statistic_ptr, member_ptr, block_ptr, bias_ptr,
    query_head, query_stride, key_head, key_stride,
    total, window, num_statistics, bias_head, scaling, softcap,
    HEADS: tl.constexpr, GROUP: tl.constexpr, HEAD_DIM: tl.constexpr, D: tl.constexpr, M: tl.constexpr,
    HAS_WINDOW: tl.constexpr, IS_CHUNKED: tl.constexpr, HAS_CAP: tl.constexpr, HAS_BIAS: tl.constexpr,
    IS_WIDENED: tl.constexpr,
):  # fmt: skip
    """Weight of one block of rows of one query head on equal tokens, and on what followed them.

    ``member_ptr`` holds places of tokens in the packed row, those of one sequence and one token id side by side and in
    order; ``block_ptr`` per program block its sequence's first token, where its tokens of one id begin among the
    members, their number and the block's first.
    """
    head = (tl.program_id(0) % HEADS).to(tl.int64)
    block = tl.program_id(0) // HEADS
    origin = tl.load(block_ptr + 4 * block)
    begin = tl.load(block_ptr + 4 * block + 1)
    number = tl.load(block_ptr + 4 * block + 2)
    first = tl.load(block_ptr + 4 * block + 3)
    member, depth = tl.arange(0, M), tl.arange(0, D)
    is_row = first + member < number
    row = tl.load(member_ptr + begin + first + member, mask=is_row, other=0)
    is_deep = depth[None, :] < HEAD_DIM
    query = tl.load(
        query_ptr + head * query_head + row.to(tl.int64)[:, None] * query_stride + depth[None, :],
        mask=is_row[:, None] & is_deep,
        other=0.0,
    )
    key_ptr += head // GROUP * key_head
    lse = tl.load(softmax_ptr + (2 * head + 1) * total + row, mask=is_row, other=0.0)[:, None] * LOG2E
    factor = score_factor(scaling, HAS_CAP, HAS_BIAS)
    # Windows begin where their sequence does, and so do chunks.
    first_seen = origin + first_visible(row - origin, window, IS_CHUNKED)
    bias_ptr += head * bias_head - origin
    bias_of_rows = tl.zeros([M], tl.float32)
    if HAS_BIAS:
        bias_of_rows = tl.load(bias_ptr + row, mask=is_row, other=0.0)
    duplicate, induction = tl.zeros([M], tl.float32), tl.zeros([M], tl.float32)
    for start in range(0, tl.minimum(first + M, number), M):
        inside = start + member < number
        key = tl.load(member_ptr + begin + start + member, mask=inside, other=0)
        # A key before the row, and the one after it, which is the row itself at the latest.
        visible = (key[None, :] < row[:, None]) & inside[None, :] & is_row[:, None]
        after = visible
        if HAS_WINDOW:
            after = visible & (key[None, :] + 1 >= first_seen[:, None])
            visible = visible & (key[None, :] >= first_seen[:, None])
        place = key_ptr + key.to(tl.int64)[:, None] * key_stride + depth[None, :]
        k = tl.load(place, mask=inside[:, None] & is_deep, other=0.0)
        bias = bias_of(bias_ptr, key, inside, bias_of_rows, HAS_BIAS)
        products = tile_products(query, k, bias, scaling, softcap, HAS_CAP, HAS_BIAS, IS_WIDENED)
        duplicate += tl.sum(tl.where(visible, tl.exp2(products * factor - lse), 0.0), 1)
        inside = inside & (key + 1 < total)
        k = tl.load(place + key_stride, mask=inside[:, None] & is_deep, other=0.0)
        # Behind a sequence's last key no row sees anything, and no bias is known.
        is_known = inside & (key < tl.max(row))
        bias = bias_of(bias_ptr, key + 1, is_known, bias_of_rows, HAS_BIAS)
        products = tile_products(query, k, bias, scaling, softcap, HAS_CAP, HAS_BIAS, IS_WIDENED)
        induction += tl.sum(tl.where(after, tl.exp2(products * factor - lse), 0.0), 1)
    at = statistic_ptr + head * num_statistics * total + row
    tl.store(at + DUPLICATE * total.to(tl.int64), duplicate, mask=is_row)
    tl.store(at + INDUCTION * total.to(tl.int64), induction, mask=is_row)


@triton.jit(do_not_specialize=["total", "window", "bias_head"])
def decision_kernel(
    query_ptr, key_ptr, softmax_ptr, decision_ptr, sequence_ptr, bias_ptr,
    query_head, query_stride, key_head, key_stride, total, window, bias_head, scaling, softcap,
    GROUP: tl.constexpr, HEAD_DIM: tl.constexpr, N: tl.constexpr, D: tl.constexpr,
    HAS_WINDOW: tl.constexpr, IS_CHUNKED: tl.constexpr, HAS_CAP: tl.constexpr, HAS_BIAS: tl.constexpr,
):  # fmt: skip
    """Weights of a sequence's decision row on one tile of its keys, ``[H, T]``; 0 on keys it does not see.

    ``sequence_ptr`` holds per sequence its first token, number of tokens and decision row.
    """
    head = tl.program_id(0).to(tl.int64)
    keys = tl.program_id(1) * N + tl.arange(0, N)
    sequence = tl.program_id(2)
    origin = tl.load(sequence_ptr + 3 * sequence).to(tl.int64)
    num_tokens = tl.load(sequence_ptr + 3 * sequence + 1)
    row = tl.load(sequence_ptr + 3 * sequence + 2)
    depth = tl.arange(0, D)
    token = origin + keys
    inside = keys < num_tokens
    query = tl.load(
        query_ptr + head * query_head + (origin + row) * query_stride + depth, mask=depth < HEAD_DIM, other=0.0
    )
    visible = inside & (keys <= row)
    if HAS_WINDOW:
        visible = visible & (keys >= first_visible(row, window, IS_CHUNKED))
    k = tl.load(
        key_ptr + head // GROUP * key_head + token[:, None] * key_stride + depth[None, :],
        mask=visible[:, None] & (depth[None, :] < HEAD_DIM),
        other=0.0,
    )
    scores = tl.sum(k.to(tl.float32) * query.to(tl.float32)[None, :], 1) * scaling
    if HAS_CAP:
        scores = tanh(scores / softcap) * softcap
    if HAS_BIAS:
        bias_ptr += head * bias_head
        scores += tl.load(bias_ptr + keys, mask=inside, other=0.0) - tl.load(bias_ptr + row)
    lse = tl.load(softmax_ptr + (2 * head + 1) * total + origin + row)
    tl.store(decision_ptr + head * total + token, tl.where(visible, tl.exp(scores - lse), 0.0), mask=inside)


@triton.jit(do_not_specialize=["total", "num_statistics", "num_groups"])
def sums_kernel(
    statistic_ptr,
    weight_ptr,
    sums_ptr,
    sequence_ptr,
    total,
    num_statistics,
    num_groups,
    HEADS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Sum statistics ``[H, K, T]`` over the rows of each query group in float64, ``[S, H, Q, K]``."""
    head = tl.program_id(0).to(tl.int64)
    sequence, group = tl.program_id(1) // num_groups, tl.program_id(1) % num_groups
    columns = tl.program_id(2) * COLUMNS + tl.arange(0, COLUMNS)
    origin = tl.load(sequence_ptr + 3 * sequence).to(tl.int64)
    num_tokens = tl.load(sequence_ptr + 3 * sequence + 1)
    lines = statistic_ptr + (head * num_statistics + columns[:, None]) * total + origin
    weight_ptr += group.to(tl.int64) * total + origin
    sums = tl.zeros([COLUMNS], tl.float64)
    for start in range(0, num_tokens, ROWS):
        rows = start + tl.arange(0, ROWS)
        inside = rows < num_tokens
        values = tl.load(lines + rows[None, :], mask=inside[None, :] & (columns[:, None] < num_statistics), other=0.0)
        weights = tl.load(weight_ptr + rows, mask=inside, other=0.0)
        sums += tl.sum(values.to(tl.float64) * weights.to(tl.float64)[None, :], 1)
    place = ((sequence.to(tl.int64) * HEADS + head) * num_groups + group) * num_statistics
    tl.store(sums_ptr + place + columns, sums, mask=columns < num_statistics)
