"""A file that holds labels or verdicts of another one's rows: in which of its fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from engine.drafting.fields import is_called_id, truth_fields
from engine.drafting.overlaps import Keys, are_plain_numbers, matching_ids
from engine.drafting.partners import LABELS, Partner, some
from engine.drafting.sight import Sight
from engine.errors import ConfigError

Choose = Callable[[str, Sequence[str]], str]
"""Asked which of several readings is meant; returns one of them."""
LABEL, VERDICT = "actual_label", "judged"
"""What the fields of such a file are called in the rows that they are joined with."""
_TOLD_OTHERWISE = "joined_label"


def label_partner(keys: Keys, other: Sight, choose: Choose, *, is_named: bool) -> Partner | None:
    """Return how a file of labels is joined; None where the file is none.

    Parameters
    ----------
    keys
        The ids of the rows that may lack labels.
    other
        The file that may hold them.
    choose
        Asked which of several fields is meant.
    is_named
        Whether a person says that it does: numbers of rows that are alike say little.

    Raises
    ------
    ConfigError
        When its ids may stand in several fields, or one stands in several rows.
    """
    if other.is_log:
        return None
    overlap = matching_ids(keys, other)
    if overlap is None or not overlap.fits:
        return None
    if not is_named and are_plain_numbers(keys.of(overlap.key)) and not is_called_id(overlap.other_key):
        return None
    columns = {path: values for path, values in other.columns().items() if path != overlap.other_key}
    names = truth_names(truth_fields(columns, len(other.records)), keys.sight, other, choose)
    if not names:
        return None
    if overlap.repeated:
        raise ConfigError(
            f"{other.path}: {len(overlap.repeated):,} value(s) of {overlap.other_key!r}, {some(overlap.repeated)}, "
            f"stand in several rows: which of them holds the label cannot be told. Leave one row each, or write "
            f"predictions.join by hand, with a filter that keeps one."
        )
    return Partner((LABELS,), other, overlap, names)


def truth_names(found: Mapping[str, Sequence[str]], sight: Sight, other: Sight, choose: Choose) -> dict[str, str]:
    """Return what the fields of labels and verdicts are called once they are joined, and where the other file has them.

    Parameters
    ----------
    found
        Fields that may hold either, as ``truth_fields`` returns them.
    sight, other
        The file that is joined, and the one that has them.
    choose
        Asked which of several is meant.
    """
    names: dict[str, str] = {}
    for kind, paths in found.items():
        name = VERDICT if kind == "correct" else label_name(sight)
        question = f"Which field of {other.path} says what is right?"
        names[name] = paths[0] if len(paths) == 1 else choose(question, paths)
    return names


def label_name(sight: Sight) -> str:
    """Return what a joined label is called: another name than the default where the log's format tells of its own."""
    tells = any({"actual", "target"} & set(record.fields) for record in sight.records)
    return _TOLD_OTHERWISE if tells else LABEL
