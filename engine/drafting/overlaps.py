"""How far two files speak of the same rows: the ids of each, and by which fields they are the same."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from engine.drafting.sight import Sight, fields_in
from engine.errors import ConfigError
from engine.inputs.answers.recorded import key_text
from engine.inputs.records import read_records
from engine.inputs.rows.paths import MISSING, value_at

_SHARE = 0.5
"""Share of the rows of either file that must be found in the other for the two to belong together."""


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
    num_rows
        Rows of the other file.
    shared, lacking, spare
        Ids that both have, those of the first file that the other lacks, and the other way round.
    repeated
        Ids that stand in several rows of the other file.
    """

    key: str
    other_key: str
    num_rows: int = 0
    shared: set[str] = field(default_factory=set)
    lacking: set[str] = field(default_factory=set)
    spare: set[str] = field(default_factory=set)
    repeated: list[str] = field(default_factory=list)

    @property
    def fits(self) -> bool:
        """Whether the files belong together: half of either one's rows are found in the other."""
        num_shared = len(self.shared)
        most = max(num_shared + len(self.lacking), 1)
        return num_shared >= _SHARE * min(most, max(self.num_rows, 1)) and num_shared > 0

    @property
    def on(self) -> str | dict[str, str]:
        """The fields as ``predictions.join`` names them."""
        return self.key if self.key == self.other_key else {self.key: self.other_key}


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
    return Overlap(key, other_key, len(others), shared, ids - shared, set(counts) - shared, repeated)


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


def _key(value: object) -> str | None:
    return None if value is MISSING or isinstance(value, Mapping | list) else key_text(value)
