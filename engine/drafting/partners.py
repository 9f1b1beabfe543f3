"""Files that are joined with a log; several that hold a part of its rows each are one together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.config import JoinSection
from engine.drafting.file_sets import path_of
from engine.drafting.overlaps import Overlap
from engine.drafting.sight import Sight, look
from engine.errors import ConfigError
from engine.inputs.files import input_files
from engine.inputs.rows.paths import MISSING, value_at

PROMPTS, LABELS, SCORES = "prompts", "labels", "scores"
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Partner:
    """A file that is joined with a log, or several under one path.

    Attributes
    ----------
    kinds
        What it holds: prompts, labels, scores.
    other
        The file.
    overlap
        How far its ids are those of the log.
    fields
        Names that its fields get, and where it has them.
    """

    kinds: tuple[str, ...]
    other: Sight
    overlap: Overlap
    fields: Mapping[str, str]

    @property
    def join(self) -> JoinSection:
        """How it is joined."""
        return JoinSection(path=self.other.path, on=self.overlap.on, fields=dict(self.fields))

    def said(self, sight: Sight) -> str:
        """Return by what it is joined with a file, and what either lacks, in words."""
        overlap = self.overlap
        by = overlap.key if overlap.key == overlap.other_key else f"{overlap.key} = {overlap.other_key}"
        fields = ", ".join(f"{path} as {name}" for name, path in self.fields.items())
        said = f"{self.other.path}, by {by}: {fields}"
        if self.kinds == (SCORES,):  # of spans and events nobody expects any
            return said
        said += f", for {len(overlap.shared):,} of {len(overlap.shared) + len(overlap.lacking):,} ids"
        if overlap.lacking:
            said += (
                f"; {len(overlap.lacking):,} of {sight.path} have no row there and are left out (rejects no_partner), "
                f"{some(overlap.lacking)}"
            )
        if overlap.spare:
            said += f"; {len(overlap.spare):,} of its ids have no answer in {sight.path}, {some(overlap.spare)}"
        for path in self.fields.values():
            blank = sum(_is_blank(value_at(record.values, path)) for record in self.other.records)
            if blank:
                said += f"; {blank:,} of its {'' if self.other.is_whole else 'first '}rows leave {path} empty"
        return said


def together(partners: Sequence[Partner], sight: Sight) -> list[Partner]:
    """Return files that hold a part of the rows each as one.

    Raises
    ------
    ConfigError
        When two hold the same of one row, or parts of it cannot be joined by one path.
    """
    alike: dict[str, list[Partner]] = {}
    for one in partners:
        alike.setdefault(repr((one.kinds, one.overlap.on, sorted(one.fields.items()))), []).append(one)
    whole = [_whole(group, sight) for group in alike.values()]
    for kind in (PROMPTS, LABELS, SCORES):
        rivals = [one.other.path for one in whole if kind in one.kinds]
        if len(rivals) > 1:
            raise _several(sight, kind, rivals)
    return whole


def _whole(parts: Sequence[Partner], sight: Sight) -> Partner:
    first = parts[0]
    if len(parts) == 1:
        return first
    shared = set[str]().union(*(part.overlap.shared for part in parts))
    if sum(len(part.overlap.shared) for part in parts) > len(shared):
        raise _several(sight, first.kinds[0], [part.other.path for part in parts])
    files = [file for part in parts for file in input_files(part.other.path)]
    path = path_of(files)
    if path is None:
        raise ConfigError(
            f"{sight.path}: {_listed([part.other.path for part in parts])} each hold {first.kinds[0]} of a part of its "
            f"rows, and no folder or pattern names them alone: put them into a folder of their own, or write them into "
            f"one file."
        )
    overlap = Overlap(
        first.overlap.key,
        first.overlap.other_key,
        sum(part.overlap.num_rows for part in parts),
        shared,
        set.intersection(*(part.overlap.lacking for part in parts)),
        set[str]().union(*(part.overlap.spare for part in parts)),
    )
    return Partner(first.kinds, look(path), overlap, first.fields)


def some(ids: Iterable[str]) -> str:
    """Return the first few ids, for a message."""
    return f"such as {', '.join(sorted(ids)[:_SHOWN])}"


def _several(sight: Sight, kind: str, paths: Sequence[str]) -> ConfigError:
    number = "both" if len(paths) == 2 else "all"
    return ConfigError(
        f"{sight.path}: {_listed(paths)} {number} hold {kind} of its rows: which is meant cannot be told. Name the "
        f"files that count with --join, such as --join {paths[0]} (with it, no others are looked for); files that hold "
        f"a part of the rows each need the same fields, and no row in two of them."
    )


def _listed(paths: Sequence[str]) -> str:
    if len(paths) > 2 * _SHOWN:
        return f"{', '.join(paths[:_SHOWN])} and {len(paths) - _SHOWN:,} more"
    return f"{', '.join(paths[:-1])} and {paths[-1]}"


def _is_blank(value: object) -> bool:
    return value is MISSING or value is None or (isinstance(value, str) and not value.strip())
