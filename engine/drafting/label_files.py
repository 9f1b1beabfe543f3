"""A file that holds labels or verdicts of another one's rows: by which field the two are joined, and what it lacks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from engine.config import JoinSection
from engine.drafting.fields import is_called_id, truth_fields
from engine.drafting.sight import Sight, fields_in
from engine.errors import ConfigError
from engine.inputs.answers.recorded import key_text
from engine.inputs.records import read_records
from engine.inputs.rows.paths import MISSING, value_at

Choose = Callable[[str, Sequence[str]], str]
"""Asked which of several readings is meant; returns one of them."""
_SHARE = 0.5
"""Share of the rows of either file that must be found in the other for the two to belong together."""
_SHOWN = 3
LABEL, VERDICT = "actual_label", "judged"
"""What the fields of such a file are called in the rows that they are joined with."""
_TOLD_OTHERWISE = "joined_label"


class Keys:
    """The ids of a file's rows, each field of them read once.

    Parameters
    ----------
    sight
        The file.
    """

    def __init__(self, sight: Sight):
        self.sight = sight
        self._ids: dict[str, set[str]] = {}

    def names(self) -> list[str]:
        """Return the fields that tell its rows apart: of a batch ``custom_id``, of others those with unique values."""
        if self.sight.format == "batch":
            return ["custom_id"]
        found = []
        for name, values in self.sight.columns().items():
            ids = [_key(value) for value in values]
            if len(ids) == len(self.sight.records) and None not in ids and len(set(ids)) == len(ids):
                found.append(name)
        return found

    def of(self, name: str) -> set[str]:
        """Return the ids of all rows by one field."""
        if name not in self._ids:
            self._ids[name] = set(column_keys(self.sight.path, name, self.sight.format))
        return self._ids[name]


@dataclass(slots=True)
class Overlap:
    """How far the ids of two files are the same.

    Attributes
    ----------
    key, other_key
        The fields.
    num_shared, num_rows
        Ids that both have, and rows of the other file.
    lacking, spare
        Ids of the first file that the other lacks, and the other way round, in order.
    repeated
        Ids that stand in several rows of the other file.
    """

    key: str
    other_key: str
    num_shared: int = 0
    num_rows: int = 0
    lacking: list[str] = field(default_factory=list)
    spare: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)

    @property
    def fits(self) -> bool:
        """Whether the files belong together: half of either one's rows are found in the other."""
        most = max(self.num_shared + len(self.lacking), 1)
        return self.num_shared >= _SHARE * min(most, max(self.num_rows, 1)) and self.num_shared > 0


def are_plain_numbers(ids: Iterable[str]) -> bool:
    """Whether all ids are whole numbers, as many columns of any table are."""
    return all(one.isdecimal() for one in ids)


def column_keys(path: str, name: str, file_format: str) -> list[str]:
    """Return the ids that all rows of a file have in one field, in its order; rows without one are left out."""
    found = (_key(value_at(record.values, name)) for record in read_records(path, file_format))
    return [key for key in found if key is not None]


def overlap_of(keys: Keys, key: str, other: Sight, other_key: str) -> Overlap:
    """Return how far two files have the same ids."""
    ids, others = keys.of(key), column_keys(other.path, other_key, other.format)
    counts = Counter(others)
    shared = ids.intersection(counts)
    repeated = [one for one, count in counts.items() if count > 1]
    return Overlap(
        key, other_key, len(shared), len(others), sorted(ids - shared), sorted(set(counts) - shared), repeated
    )


def matching_ids(keys: Keys, other: Sight) -> Overlap | None:
    """Return the fields by which another file's rows belong to those of the first; None where they do not.

    Raises
    ------
    ConfigError
        When several fields of the other file hold the ids, in different rows.
    """
    hits = _hits(keys, other)
    most = max(hits.values(), default=0)
    best = [pair for pair, count in hits.items() if count == most]
    if not most:
        return None
    key, name = next((pair for pair in best if pair[0] == pair[1]), best[0])
    columns = {path: list(map(_key, values)) for path, values in other.columns().items()}
    alike = [path for known, path in best if known == key]
    rivals = [path for path in alike if path != name and columns.get(path) != columns.get(name)]
    overlap = overlap_of(keys, key, other, name)
    if rivals and key != name and overlap.fits:
        raise ConfigError(
            f"{other.path}: its fields {name!r} and {', '.join(map(repr, rivals))} all hold values of {key!r} of "
            f"{keys.sight.path}, in different rows: by which of them the labels are joined cannot be told. Call the "
            f"one that is meant {key!r}, or write predictions.join by hand."
        )
    return overlap


def _hits(keys: Keys, other: Sight) -> dict[tuple[str, str], int]:
    """Return how many different ids of the first file each field of the other one holds, in all of its rows."""
    met: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    names = keys.names()
    rows = other.records if other.is_whole else read_records(other.path, other.format)
    for record in rows:
        for path, value in fields_in(record.values):
            text = _key(value)
            for name in names if text is not None else ():
                if text in keys.of(name):
                    met[name, path].add(text)
    return {pair: len(ids) for pair, ids in met.items()}


def label_join(keys: Keys, other: Sight, choose: Choose, *, is_named: bool) -> tuple[JoinSection, str] | None:
    """Return the join with a file of labels and what it does, in words; None where the file is none.

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
    found = truth_fields(columns, len(other.records))
    names: dict[str, str] = {}
    for kind, paths in found.items():
        name = VERDICT if kind == "correct" else label_name(keys.sight)
        question = f"Which field of {other.path} says what is right?"
        names[name] = paths[0] if len(paths) == 1 else choose(question, paths)
    if not names:
        return None
    if overlap.repeated:
        raise ConfigError(
            f"{other.path}: {len(overlap.repeated):,} value(s) of {overlap.other_key!r}, {_some(overlap.repeated)}, "
            f"stand in several rows: which of them holds the label cannot be told. Leave one row each, or write "
            f"predictions.join by hand, with a filter that keeps one."
        )
    on = overlap.key if overlap.key == overlap.other_key else {overlap.key: overlap.other_key}
    return JoinSection(path=other.path, on=on, fields=names), _said(keys.sight, other, overlap, names)


def label_name(sight: Sight) -> str:
    """Return what a joined label is called: another name than the default where the log's format tells of its own."""
    tells = any({"actual", "target"} & set(record.fields) for record in sight.records)
    return _TOLD_OTHERWISE if tells else LABEL


def _said(sight: Sight, other: Sight, overlap: Overlap, names: Mapping[str, str]) -> str:
    by = overlap.key if overlap.key == overlap.other_key else f"{overlap.key} = {overlap.other_key}"
    fields = ", ".join(f"{path} as {name}" for name, path in names.items())
    total = overlap.num_shared + len(overlap.lacking)
    said = f"{other.path}, by {by}: {fields}, for {overlap.num_shared:,} of {total:,} ids"
    if overlap.lacking:
        said += (
            f"; {len(overlap.lacking):,} of {sight.path} have no row there and are left out (rejects no_partner), "
            f"{_some(overlap.lacking)}"
        )
    if overlap.spare:
        said += f"; {len(overlap.spare):,} of its ids have no answer in {sight.path}, {_some(overlap.spare)}"
    for path in names.values():
        blank = sum(_is_blank(value_at(record.values, path)) for record in other.records)
        if blank:
            said += f"; {blank:,} of its {'' if other.is_whole else 'first '}rows leave {path} empty"
    return said


def _some(ids: Sequence[str]) -> str:
    return f"such as {', '.join(ids[:_SHOWN])}"


def _is_blank(value: object) -> bool:
    return value is MISSING or value is None or (isinstance(value, str) and not value.strip())


def _key(value: object) -> str | None:
    return None if value is MISSING or isinstance(value, Mapping | list) else key_text(value)
