"""The Triton kernel of the fused backend: attention with its statistics; and what its scores are made of.

Shape legend: ``M`` query rows of a program, ``N`` keys of a tile, ``D`` head dimension, ``P`` rider columns (key groups
and the offset within the tile, padded), ``T`` tokens of the packed row, ``K`` statistics, ``S`` sequences.

Scores ``s`` are taken in units of ln 2 inside the kernels: GPUs have an instruction for powers of 2, and one factor
gets ``q . k`` there, applied together with the subtraction of the maximum.

What the online softmax keeps per row, all relative to the running maximum ``m`` and rescaled by ``a = 2^(m - m')``
when it rises to ``m'``: ``weight``, the sum of all weights ``w = 2^(s - m)``; ``e = sum w (s - m)``, which becomes
``a (e + (m - m') weight)``; ``c = sum w^2`` (times ``a^2``); ``sum w (i - j)``; and ``w @ riders``. Entropy is then
``ln 2 (log2 weight - e / weight)``, which does not cancel. The first, the previous and the own key are kept as
products, which need no rescaling. Equal and following tokens are few, and the same in every layer and head: a pass of
their own goes over those pairs alone (``row_kernels``), so that no other score is compared with anything.
"""

# Triton has no wheels for some platforms, and its compiler, not Python, binds the names below.
# pyright: reportMissingImports=false, reportPossiblyUnboundVariable=false, reportArgumentType=false

from __future__ import annotations

import triton
import triton.language as tl

from engine.attention.layout import INDEX, NUM_BASE

# Finite, because running maxima begin with it: -inf minus -inf, and -inf times a weight of 0, would be NaN.
MASKED = tl.constexpr(-1e30)
LOG2E, LN2 = tl.constexpr(1.4426950408889634), tl.constexpr(0.6931471805599453)
SPLIT = tl.constexpr(2048.0)
"""Half precision keeps 11 bits: a weight is the sum of a high half and a low half that is smaller by this much."""

BASE = tl.constexpr(NUM_BASE)
ENTROPY, ENTROPY_NORMALIZED = tl.constexpr(INDEX["entropy_nats"]), tl.constexpr(INDEX["entropy_normalized"])
DIAGONAL, DIAGONAL_LATER = tl.constexpr(INDEX["diagonal"]), tl.constexpr(INDEX["diagonal_excluding_first"])
FIRST, PREVIOUS = tl.constexpr(INDEX["first_token"]), tl.constexpr(INDEX["previous_token"])
DISTANCE, DISTANCE_RELATIVE = tl.constexpr(INDEX["mean_distance"]), tl.constexpr(INDEX["mean_relative_distance"])
LARGEST, COLLISION = tl.constexpr(INDEX["max_weight"]), tl.constexpr(INDEX["collision"])


@triton.jit
def tanh(x):
    """Return tanh to float32's digits; near 0 by its series, where ``1 - exp(-2x)`` would cancel."""
    square = x * x
    series = 1.0 + square * (-0.33333334 + square * (0.13333334 + square * (-0.053968254 + square * 0.021869488)))
    decay = tl.exp(-2.0 * tl.abs(x))
    far = (1.0 - decay) / (1.0 + decay)
    return tl.where(tl.abs(x) < 0.25, x * series, tl.where(x < 0, -far, far))


@triton.jit
def _carry(weights, riders, carried, IS_FLOAT32: tl.constexpr):
    """Return ``carried + weights @ riders`` with float32's digits."""
    if IS_FLOAT32:
        carried = tl.dot(weights, riders, carried, input_precision="ieee")
    else:
        high = weights.to(tl.float16)
        low = ((weights - high.to(tl.float32)) * SPLIT).to(tl.float16)
        carried = tl.dot(high, riders, carried)
        carried = tl.dot(low, (riders.to(tl.float32) / SPLIT).to(tl.float16), carried)
    return carried


@triton.jit
def _dot(left, right, sums, IS_WIDENED: tl.constexpr):
    """Return ``sums + left @ right``; widened where Triton's interpreter runs, whose products know no bfloat16."""
    if IS_WIDENED:
        left, right = left.to(tl.float32), right.to(tl.float32)
    return tl.dot(left, right, sums, input_precision="ieee")


@triton.jit
def tile_products(
    query, keys, bias, scaling, softcap, HAS_CAP: tl.constexpr, HAS_BIAS: tl.constexpr, IS_WIDENED: tl.constexpr
):
    """Return products ``[M, N]`` of which ``score_factor`` makes scores: scaled and biased only where it must be."""
    nothing = tl.zeros([query.shape[0], keys.shape[0]], tl.float32)
    products = _dot(query, tl.trans(keys), nothing, IS_WIDENED)
    if HAS_CAP:
        products = tanh(products * scaling / softcap) * softcap
    if HAS_BIAS:
        products = (products if HAS_CAP else products * scaling) + bias
    return products


@triton.jit
def score_factor(scaling, HAS_CAP: tl.constexpr, HAS_BIAS: tl.constexpr):
    """Return what makes products scores in units of ln 2."""
    return LOG2E if HAS_CAP or HAS_BIAS else scaling * LOG2E


@triton.jit
def bias_of(bias_ptr, keys, inside, of_rows, HAS_BIAS: tl.constexpr):
    """Return what is added to a row's keys ``[M, N]``, counted from what is added to its own: near it, exact."""
    if HAS_BIAS:
        bias = tl.load(bias_ptr + keys, mask=inside, other=0.0)[None, :] - of_rows[:, None]
    else:
        bias = of_rows[:, None]
    return bias


@triton.jit
def first_visible(rows, window, IS_CHUNKED: tl.constexpr):
    """Return the first key that rows see, below 0 where their window begins before their sequence."""
    return rows // window * window if IS_CHUNKED else rows - window + 1


@triton.jit
def _rows_of(ptr, stride, at, tile, depth, inside, SIZE: tl.constexpr, IS_EDGE: tl.constexpr):
    """Load a tile of keys or values, ``[N, D]``; where all of them are inside, only the padding of a row is masked."""
    place = ptr + at * stride + tile[:, None] * stride + depth[None, :]
    if IS_EDGE:
        return tl.load(place, mask=inside[:, None] & (depth[None, :] < SIZE), other=0.0)
    if depth.shape[0] > SIZE:
        return tl.load(place, mask=depth[None, :] < SIZE, other=0.0)
    return tl.load(place)


@triton.jit
def _tiles(
    state, query, rows, bias_of_rows,
    key_ptr, value_ptr, rider_ptr, norm_ptr, bias_ptr,
    key_stride, value_stride,
    first_tile, end_tile, num_tokens, window, scaling, softcap,
    HEAD_DIM: tl.constexpr, VALUE_DIM: tl.constexpr, D: tl.constexpr, DV: tl.constexpr, P: tl.constexpr,
    N: tl.constexpr, HAS_WINDOW: tl.constexpr, IS_CHUNKED: tl.constexpr, HAS_CAP: tl.constexpr,
    HAS_BIAS: tl.constexpr, HAS_NORMS: tl.constexpr,
    IS_MAIN: tl.constexpr, IS_FLOAT32: tl.constexpr, IS_WIDENED: tl.constexpr,
    IS_EDGE: tl.constexpr,
):  # fmt: skip
    """Go over the key tiles ``[first_tile, end_tile)``; edge tiles hold hidden keys or a row's own, last or first key.

    Pointers stand at the sequence's first token; ``IS_MAIN`` is false in passes that only carry more key groups.
    """
    output, carried, normed, m, weight, e, c, distance, norm_sum, first, previous, own = state
    factor = score_factor(scaling, HAS_CAP, HAS_BIAS)
    tile = tl.arange(0, N)
    depth, value_depth, column = tl.arange(0, D), tl.arange(0, DV), tl.arange(0, P)
    for start in range(first_tile, end_tile, N):
        keys = start + tile
        inside = keys < num_tokens
        at = tl.full([], 0, tl.int64) + start  # offsets of long rows pass 2**31
        k = _rows_of(key_ptr, key_stride, at, tile, depth, inside, HEAD_DIM, IS_EDGE)
        bias = bias_of(bias_ptr, keys, inside, bias_of_rows, HAS_BIAS)
        products = tile_products(query, k, bias, scaling, softcap, HAS_CAP, HAS_BIAS, IS_WIDENED)
        if IS_EDGE:
            visible = (keys[None, :] <= rows[:, None]) & inside[None, :]
            if HAS_WINDOW:
                visible = visible & (keys[None, :] >= first_visible(rows, window, IS_CHUNKED)[:, None])
            products = tl.where(visible, products, MASKED)
            if IS_MAIN:
                away = rows[:, None] - keys[None, :]
                own = tl.maximum(own, tl.max(tl.where(away == 0, products, MASKED), 1))
                previous = tl.maximum(previous, tl.max(tl.where(away == 1, products, MASKED), 1))
                first = tl.maximum(first, tl.max(tl.where(keys[None, :] == 0, products, MASKED), 1))
        larger = tl.maximum(m, tl.max(products, 1) * factor)
        shifted = products * factor - larger[:, None]
        weights = tl.exp2(shifted)
        # A row that has seen no key yet has MASKED for its maximum, which gives its hidden keys a weight of 1.
        if IS_EDGE:
            weights = tl.where(visible, weights, 0.0)
        scale = tl.exp2(m - larger)
        riders = _rows_of(rider_ptr, P, at, tile, column, inside, P, IS_EDGE)
        carried = _carry(weights, riders, carried * scale[:, None], IS_FLOAT32)
        if HAS_NORMS:
            norms = tl.load(norm_ptr + at + tile, mask=inside, other=0.0)
            shares = weights * norms[None, :]
            normed = _carry(shares, riders, normed * scale[:, None], IS_FLOAT32)
            norm_sum = norm_sum * scale + tl.sum(shares, 1)
        sums = tl.sum(weights, 1)
        if IS_MAIN:
            v = _rows_of(value_ptr, value_stride, at, tile, value_depth, inside, VALUE_DIM, IS_EDGE)
            # Weights in the values' dtype do for the output, which is rounded to it; masses keep float32's digits.
            output = _dot(weights.to(v.dtype), v, output * scale[:, None], IS_WIDENED)
            e = scale * (e + (m - larger) * weight) + tl.sum(weights * shifted, 1)
            c = scale * scale * c + tl.sum(weights * weights, 1)
            distance = scale * distance + (rows - start).to(tl.float32) * sums
        weight = scale * weight + sums
        m = larger
    return output, carried, normed, m, weight, e, c, distance, norm_sum, first, previous, own


@triton.jit(do_not_specialize=["total", "window", "num_statistics", "bias_head"])
def attention_kernel(
    query_ptr, key_ptr, value_ptr, output_ptr, statistic_ptr, softmax_ptr, norm_ptr,
    block_ptr, rider_ptr, bias_ptr, sink_ptr,
    query_head, query_stride, key_head, key_stride, value_head, value_stride, output_stride,
    total, window, num_statistics, bias_head, scaling, softcap,
    HEADS: tl.constexpr, GROUP: tl.constexpr, HEAD_DIM: tl.constexpr, VALUE_DIM: tl.constexpr,
    FIRST_MASS: tl.constexpr, NUM_MASSES: tl.constexpr, FIRST_NORMED: tl.constexpr,
    M: tl.constexpr, N: tl.constexpr, D: tl.constexpr, DV: tl.constexpr, P: tl.constexpr,
    HAS_WINDOW: tl.constexpr, IS_CHUNKED: tl.constexpr, HAS_CAP: tl.constexpr, HAS_BIAS: tl.constexpr,
    HAS_SINKS: tl.constexpr, HAS_NORMS: tl.constexpr, IS_MAIN: tl.constexpr,
    IS_FLOAT32: tl.constexpr, IS_WIDENED: tl.constexpr,
):  # fmt: skip
    """Attention of one block of rows of one query head: output, statistics per row, maximum and log-sum-exp.

    ``block_ptr`` holds per program block its sequence's first token, number of tokens and the block's first row.
    Statistics are ``[H, K, T]``, 0 where a row has none. ``bias_ptr`` holds what is added to the keys of a sequence by
    head and place, ``sink_ptr`` a score per head. Where keys are biased, log-sum-exps are those of scores to which what
    a row adds to itself is not added.
    """
    head = tl.program_id(0) % HEADS
    block = tl.program_id(0) // HEADS
    origin = tl.load(block_ptr + 3 * block).to(tl.int64)
    num_tokens = tl.load(block_ptr + 3 * block + 1)
    first_row = tl.load(block_ptr + 3 * block + 2)
    rows = first_row + tl.arange(0, M)
    is_row = rows < num_tokens
    token = origin + rows
    depth, column = tl.arange(0, D), tl.arange(0, P)
    wide_head = head.to(tl.int64)
    query = tl.load(
        query_ptr + wide_head * query_head + token[:, None] * query_stride + depth[None, :],
        mask=is_row[:, None] & (depth[None, :] < HEAD_DIM),
        other=0.0,
    )
    kv_head = wide_head // GROUP
    key_ptr += kv_head * key_head + origin * key_stride
    value_ptr += kv_head * value_head + origin * value_stride
    rider_ptr += origin * P
    norm_ptr += wide_head * total + origin
    bias_ptr += wide_head * bias_head
    bias_of_rows = tl.zeros([M], tl.float32)
    if HAS_BIAS:
        bias_of_rows = tl.load(bias_ptr + rows, mask=is_row, other=0.0)

    end = tl.minimum(first_row + M, num_tokens)
    first_key = tl.maximum(first_visible(first_row, window, IS_CHUNKED), 0) // N * N
    plain_from = (tl.maximum(first_visible(end - 1, window, IS_CHUNKED), 0) + N - 1) // N * N
    plain_from = tl.minimum(tl.maximum(first_key + N, plain_from), end)
    plain_to = tl.maximum(tl.maximum(first_row - 1, 0) // N * N, plain_from)

    zeros = tl.zeros([M], tl.float32)
    nothing = zeros + MASKED
    output = tl.zeros([M, DV], tl.float32)
    carried = tl.zeros([M, P], tl.float32)
    normed = tl.zeros([M, P], tl.float32)
    state = (output, carried, normed, nothing, zeros, zeros, zeros, zeros, zeros, nothing, nothing, nothing)
    state = _tiles(
        state, query, rows, bias_of_rows, key_ptr, value_ptr, rider_ptr, norm_ptr, bias_ptr, key_stride, value_stride,
        first_key, plain_from, num_tokens, window, scaling, softcap, HEAD_DIM, VALUE_DIM, D, DV, P, N,
        HAS_WINDOW, IS_CHUNKED, HAS_CAP, HAS_BIAS, HAS_NORMS, IS_MAIN, IS_FLOAT32, IS_WIDENED, True,
    )  # fmt: skip
    state = _tiles(
        state, query, rows, bias_of_rows, key_ptr, value_ptr, rider_ptr, norm_ptr, bias_ptr, key_stride, value_stride,
        plain_from, plain_to, num_tokens, window, scaling, softcap, HEAD_DIM, VALUE_DIM, D, DV, P, N,
        HAS_WINDOW, IS_CHUNKED, HAS_CAP, HAS_BIAS, HAS_NORMS, IS_MAIN, IS_FLOAT32, IS_WIDENED, False,
    )  # fmt: skip
    state = _tiles(
        state, query, rows, bias_of_rows, key_ptr, value_ptr, rider_ptr, norm_ptr, bias_ptr, key_stride, value_stride,
        plain_to, end, num_tokens, window, scaling, softcap, HEAD_DIM, VALUE_DIM, D, DV, P, N,
        HAS_WINDOW, IS_CHUNKED, HAS_CAP, HAS_BIAS, HAS_NORMS, IS_MAIN, IS_FLOAT32, IS_WIDENED, True,
    )  # fmt: skip
    output, carried, normed, m, weight, e, c, distance, norm_sum, first, previous, own = state
    weight = tl.where(is_row, weight, 1.0)

    statistic_ptr += wide_head * num_statistics * total
    wide_total = total.to(tl.int64)
    masses = (column < NUM_MASSES)[None, :] & is_row[:, None]
    at = column[None, :] * wide_total + token[:, None]
    tl.store(statistic_ptr + FIRST_MASS * wide_total + at, carried / weight[:, None], mask=masses)
    if HAS_NORMS:
        # Where every value is 0 so is every share.
        norm_sum = tl.where(norm_sum == 0, 1.0, norm_sum)
        tl.store(statistic_ptr + FIRST_NORMED * wide_total + at, normed / norm_sum[:, None], mask=masses)
    if IS_MAIN:
        value_depth = tl.arange(0, DV)
        if HAS_SINKS:
            # What a sink leaves to the keys; in this form neither a large sink nor a small one overflows.
            sink = tl.load(sink_ptr + head).to(tl.float32) * LOG2E
            output = output / (1.0 + tl.exp2(sink - m - tl.log2(weight)))[:, None]
        tl.store(
            output_ptr + token[:, None] * output_stride + wide_head * VALUE_DIM + value_depth[None, :],
            (output / weight[:, None]).to(output_ptr.dtype.element_ty),
            mask=is_row[:, None] & (value_depth[None, :] < VALUE_DIM),
        )
        factor = score_factor(scaling, HAS_CAP, HAS_BIAS)
        lse = tl.log(weight)
        tl.store(softmax_ptr + 2 * wide_head * wide_total + token, m * LN2, mask=is_row)
        tl.store(softmax_ptr + (2 * wide_head + 1) * wide_total + token, m * LN2 + lse, mask=is_row)
        # Offsets within tiles rode along behind the key groups.
        offsets = tl.sum(tl.where(column[None, :] == NUM_MASSES, carried, 0.0), 1)
        away = (distance - offsets) / weight
        away = tl.where(away < 0, 0.0, away)
        entropy = lse - e / weight * LN2
        entropy = tl.where(entropy < 0, 0.0, entropy)
        seen = rows + 1 - tl.maximum(first_visible(rows, window, IS_CHUNKED), 0)
        # Not one key but two, so that the logarithm is not 0.
        most = tl.log(tl.maximum(seen, 2).to(tl.float32))
        later = rows > 0
        own_weight = tl.exp2(own * factor - m) / weight
        at = statistic_ptr + token
        tl.store(at + ENTROPY * wide_total, entropy, mask=is_row)
        tl.store(at + ENTROPY_NORMALIZED * wide_total, tl.where(seen > 1, entropy / most, 0.0), mask=is_row)
        tl.store(at + DIAGONAL * wide_total, own_weight, mask=is_row)
        tl.store(at + DIAGONAL_LATER * wide_total, tl.where(later, own_weight, 0.0), mask=is_row)
        tl.store(at + FIRST * wide_total, tl.where(later, tl.exp2(first * factor - m) / weight, 0.0), mask=is_row)
        tl.store(at + PREVIOUS * wide_total, tl.where(later, tl.exp2(previous * factor - m) / weight, 0.0), mask=is_row)
        tl.store(at + DISTANCE * wide_total, away, mask=is_row)
        relative = away / tl.maximum(rows, 1).to(tl.float32)
        tl.store(at + DISTANCE_RELATIVE * wide_total, tl.where(later, relative, 0.0), mask=is_row)
        tl.store(at + LARGEST * wide_total, 1.0 / weight, mask=is_row)
        tl.store(at + COLLISION * wide_total, c / (weight * weight), mask=is_row)
