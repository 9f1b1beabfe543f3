"""Slow float64 loops: every statistic of one head of one sequence, straight from its definition.

Nothing here is shared with the engine: patterns come from float64 scores and a softmax written out, and each
statistic is a loop over rows and keys.
"""

from __future__ import annotations

import math

import numpy as np


def pattern(query, key, scaling, window=None, softcap=None, slope=0.0):
    """Return the attention pattern ``[T, T]`` of one head from queries and keys ``[T, d]``, in float64.

    ``slope`` is ALiBi's: what a score loses per token between row and key.
    """
    query, key = np.asarray(query, np.float64), np.asarray(key, np.float64)
    num_tokens = query.shape[0]
    result = np.zeros((num_tokens, num_tokens))
    for i in range(num_tokens):
        visible = visible_keys(i, window)
        scores = [float(query[i] @ key[j]) * scaling for j in visible]
        if softcap is not None:
            scores = [softcap * math.tanh(score / softcap) for score in scores]
        scores = [score - slope * (i - j) for score, j in zip(scores, visible, strict=True)]
        largest = max(scores)
        weights = [math.exp(score - largest) for score in scores]
        total = sum(weights)
        for j, weight in zip(visible, weights, strict=True):
            result[i, j] = weight / total
    return result


def visible_keys(i, window=None):
    """Return the keys that row i sees: of its chunk, of its sliding window, or all."""
    if hasattr(window, "size"):
        return range(next(j for j in range(i + 1) if j // window.size == i // window.size), i + 1)
    return range(0 if window is None else max(0, i - window + 1), i + 1)


def row_statistics(pattern, i, token_ids, key_groups, window=None):
    """Return every statistic of row i by name; None where it does not exist."""
    visible = visible_keys(i, window)
    weights = [pattern[i, j] for j in visible]
    entropy = -sum(p * math.log(p) for p in weights if p > 0)
    distance = sum(pattern[i, j] * (i - j) for j in visible)
    duplicates = [j for j in visible if j < i and token_ids[j] == token_ids[i]]
    inductions = [j for j in visible if j >= 1 and token_ids[j - 1] == token_ids[i]]
    row = {
        "entropy_nats": entropy,
        "entropy_normalized": entropy / math.log(len(weights)) if len(weights) > 1 else None,
        "diagonal": pattern[i, i],
        "diagonal_excluding_first": pattern[i, i] if i >= 1 else None,
        "first_token": pattern[i, 0] if i >= 1 else None,
        "previous_token": pattern[i, i - 1] if i >= 1 else None,
        "mean_distance": distance,
        "mean_relative_distance": distance / i if i >= 1 else None,
        "max_weight": max(weights),
        "collision": sum(p * p for p in weights),
        "duplicate_token": sum(pattern[i, j] for j in duplicates) if duplicates else None,
        "induction": sum(pattern[i, j] for j in inductions) if inductions else None,
    }
    for name, positions in key_groups.items():
        members = {int(j) for j in positions}
        row[f"mass_{name}"] = sum(pattern[i, j] for j in visible if j in members)
    return row


def norm_weighted_row(pattern, i, output_weight, values, key_groups):
    """Return norm-weighted masses of row i: weights times ||W_O v_j||, renormalised over the visible keys.

    ``output_weight`` is the head's slice ``[hidden, head_dim]`` of the output projection, ``values`` are
    ``[T, head_dim]``.
    """
    weight, values = np.asarray(output_weight, np.float64), np.asarray(values, np.float64)
    contributions = [pattern[i, j] * math.sqrt(sum(x * x for x in weight @ values[j])) for j in range(i + 1)]
    total = sum(contributions)
    return {
        f"norm_mass_{name}": sum(contributions[j] for j in range(i + 1) if j in {int(p) for p in positions}) / total
        for name, positions in key_groups.items()
    }


def row_baselines(i, token_ids, key_groups, window=None):
    """Return what uniform attention gives row i, by name; None where the statistic does not exist."""
    visible = visible_keys(i, window)
    duplicates = sum(1 for j in visible if j < i and token_ids[j] == token_ids[i])
    inductions = sum(1 for j in visible if j >= 1 and token_ids[j - 1] == token_ids[i])
    row = {
        "baseline_duplicate": duplicates / len(visible) if duplicates else None,
        "baseline_induction": inductions / len(visible) if inductions else None,
    }
    for name, positions in key_groups.items():
        members = {int(j) for j in positions}
        row[f"baseline_{name}"] = sum(1 for j in visible if j in members) / len(visible)
    return row


def group_mean(rows):
    """Return the mean of each statistic over rows where it exists; None when there are none."""
    means = {}
    for name in rows[0] if rows else ():
        values = [row[name] for row in rows if row[name] is not None]
        means[name] = sum(values) / len(values) if values else None
    return means


def lookback_row(pattern, i, num_prompt, window=None):
    """Return the lookback ratios of row i, by masses and by mean weights; None where it does not see both parts."""
    before = [pattern[i, j] for j in visible_keys(i, window) if j < num_prompt]
    behind = [pattern[i, j] for j in visible_keys(i, window) if j >= num_prompt]
    if not before or not behind:
        return {"lookback_ratio": None, "lookback_ratio_per_token": None}
    means = [sum(part) / len(part) for part in (before, behind)]
    return {
        "lookback_ratio": sum(before) / (sum(before) + sum(behind)),
        "lookback_ratio_per_token": means[0] / sum(means),
    }


def reading(pattern, rows, positions, least=1e-6):
    """Return centroid, drift and concentration of the rows' weight on the positions before the first of them."""
    keys = [int(j) for j in positions if len(rows) and j < rows[0]]
    read = []
    for i in rows:
        mass = sum(pattern[i, j] for j in keys)
        if mass >= least:
            shares = [pattern[i, j] / mass for j in keys]
            centre = sum(share * j for share, j in zip(shares, keys, strict=True))
            read.append((float(i), centre, sum(share * share for share in shares)))
    if not read:
        return None, None, None
    i, mu, focus = (np.array(part) for part in zip(*read, strict=True))
    slope = None if len(read) < 2 else float(((i - i.mean()) * (mu - mu.mean())).sum() / ((i - i.mean()) ** 2).sum())
    return float(mu.mean()), slope, float(focus.mean())


def received(pattern, window=None):
    """Return what each key receives: its mean weight over the rows that see it; and how many rows do."""
    num_tokens = len(pattern)
    rows = [[i for i in range(num_tokens) if j in visible_keys(i, window)] for j in range(num_tokens)]
    return [sum(pattern[i, j] for i in rows[j]) / len(rows[j]) for j in range(num_tokens)], [len(r) for r in rows]


def sentence_flow(pattern, sentences, window=None):
    """Return the mean weight between tokens of each pair of sentences that see each other, None where none does."""
    flow = []
    for query in sentences:
        row = []
        for key in sentences:
            pairs = [(i, j) for i in query for j in key if j in visible_keys(i, window)]
            row.append(sum(pattern[i, j] for i, j in pairs) / len(pairs) if pairs else None)
        flow.append(row)
    return flow


def receiver(flow, apart=4):
    """Return what each sentence receives from those at least ``apart`` further on, and its kurtosis over sentences."""
    number, scores = len(flow), []
    for b in range(number):
        values = [flow[a][b] for a in range(b + apart, number) if flow[a][b] is not None]
        scores.append(sum(values) / len(values) if values else None)
    known = [score for score in scores if score is not None]
    if len(known) < 4:
        return scores, None
    mean = sum(known) / len(known)
    variance = sum((score - mean) ** 2 for score in known) / len(known)
    if variance == 0:
        return scores, None
    return scores, sum((score - mean) ** 4 for score in known) / len(known) / variance**2 - 3
