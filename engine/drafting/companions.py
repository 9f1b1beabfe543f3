"""Files near a log that hold what it lacks: the requests and labels of a batch, the scores of Langfuse's rows.

Those that lie near it are looked through, or those that a person names. Of several that fit, nobody knows which one
is meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from engine.drafting.config_tree import Draft
from engine.drafting.fields import named_truths
from engine.drafting.file_sets import FileSet
from engine.drafting.label_files import LABEL, VERDICT, Choose, label_name, label_partner, truth_names
from engine.drafting.overlaps import Keys, overlap_of
from engine.drafting.partners import LABELS, PROMPTS, SCORES, Partner, together
from engine.drafting.sight import Sight, look
from engine.errors import ConfigError, UserError
from engine.inputs.files import input_files
from engine.inputs.readers.evaluations.langfuse_scores import OBSERVATIONS, TRACES, first_of, is_score

_REQUESTS = ("body", "params", "request")
_GIVEN = ("messages", "prompt", "system", "instructions", "tools")
"""Parts of a request that the model was given."""
_LACKING = {"batch": {PROMPTS, LABELS}, "langfuse": {SCORES}}
"""What lies in files of their own."""
_MOST_FILES = 50
_MOST_UNREAD = 5


def partners_of(sight: Sight, files: FileSet, named: Sequence[str], choose: Choose) -> tuple[list[Partner], int]:
    """Return what the rows of a log are joined with, and how many files near it are too many to be looked through.

    What lies nearer counts: where prompts, labels or scores are found, no further place is asked for them.

    Parameters
    ----------
    sight
        The log.
    files
        Its files, and those near it.
    named
        Files that a person names; where there are none, those near it are looked through.
    choose
        Asked where two fields are equally likely.

    Raises
    ------
    ConfigError
        When two files hold the same, parts cannot be joined by one path, or a named file holds nothing of the rows.
    InputError
        When a named file cannot be read.
    """
    keys = Keys(sight)
    if named:
        return together([_named_partner(sight, path, keys, choose) for path in named], sight), 0
    whole: list[Partner] = []
    num_looked = num_unseen = 0
    for place in _places(sight, files):
        kinds = {kind for one in whole for kind in one.kinds}
        if _LACKING[sight.format] <= kinds:
            break
        looked_at = place[: _MOST_FILES - num_looked]
        num_looked, num_unseen = num_looked + len(looked_at), num_unseen + len(place) - len(looked_at)
        found = [_found_partner(sight, path, keys, choose) for path in looked_at]
        whole += together([one for one in found if one is not None and not kinds & set(one.kinds)], sight)
    return whole, num_unseen


def _named_partner(sight: Sight, path: str, keys: Keys, choose: Choose) -> Partner:
    other = look(path)
    partner = _partner(sight, other, keys, choose, is_named=True)
    if partner is None:
        raise ConfigError(
            f"--join {path}: holds nothing that belongs to {sight.path}: no field of it has the values of "
            f"{' or '.join(map(repr, keys.names()[:5])) or 'an id'}, or none holds prompts, labels or scores; it "
            f"has {', '.join(sorted(other.columns())[:20])}. Write predictions.join by hand."
        )
    return partner


def _found_partner(sight: Sight, path: str, keys: Keys, choose: Choose) -> Partner | None:
    try:
        other = look(path)
    except UserError:
        return None
    return _partner(sight, other, keys, choose, is_named=False)


def add_partners(draft: Draft, sight: Sight, files: FileSet, named: Sequence[str], choose: Choose) -> None:
    """Put the fields of other files beside the rows, and note what is not read.

    Parameters
    ----------
    draft
        The config so far.
    sight, files, named, choose
        As for ``partners_of``.

    Raises
    ------
    ConfigError, InputError
        As ``partners_of`` does.
    """
    partners, num_unseen = partners_of(sight, files, named, choose)
    fields: dict[str, str] = {}
    for one in partners:
        sight.joined(one.join)
        kept = {key: value for key, value in one.join.model_dump().items() if key != "format" and value != {}}
        draft.tree["predictions"].setdefault("join", []).append(kept)
        draft.say("joined with", one.said(sight))
        names = one.join.names() or {}
        if VERDICT in names:
            if any(record.values.get(VERDICT) is not None for record in sight.records):
                fields["correct"] = VERDICT
            else:
                draft.say("right or wrong", "not told: each score names a trace alone, in which several answers stand")
        own = label_name(sight)
        if own in names and own != LABEL:  # it comes before what the format tells
            told = {key for record in sight.records for key in record.fields} & {"actual", "target"}
            fields |= dict.fromkeys(told, own)
    if partners:
        draft.remarks["join"] = "; ".join(one.said(sight) for one in partners)
    if fields:
        draft.tree["predictions"]["fields"] = fields
    _say_unread(draft, files, partners)
    if num_unseen:
        draft.say("not looked at", f"{num_unseen:,} further file(s) near it: name what is joined with --join")


def _say_unread(draft: Draft, files: FileSet, partners: Sequence[Partner]) -> None:
    """Note which files that were given are not read."""
    joined = {file for one in partners for file in input_files(one.other.path)}
    unread = [str(file) for file in files.others if file not in joined]
    if unread:
        shown = ", ".join([*unread[:_MOST_UNREAD], *(["…"] if len(unread) > _MOST_UNREAD else [])])
        draft.say("not read", f"{shown}: no answers, and nothing of the rows of {files.path}")


def _places(sight: Sight, files: FileSet) -> list[list[str]]:
    """Return files that may hold what a log lacks, the nearest first: those near it, or Langfuse's folder of scores."""
    if sight.format not in _LACKING:
        return []
    folder = files.files[0].parent
    scores = folder.parent / "scores"
    if sight.format == "langfuse" and folder.name.startswith("observations") and scores.is_dir():
        return [[str(scores)]]
    return [list(map(str, place)) for place in files.near]


def _partner(sight: Sight, other: Sight, keys: Keys, choose: Choose, *, is_named: bool) -> Partner | None:
    if sight.format == "langfuse" and (scores := _of_langfuse(sight, other, keys, is_named=is_named)):
        return scores
    if sight.format == "batch" and (requests := _of_batch(sight, other, keys, choose)):
        return requests
    return label_partner(keys, other, choose, is_named=is_named)


def _of_batch(sight: Sight, other: Sight, keys: Keys, choose: Choose) -> Partner | None:
    """Return how the requests of a batch are joined, with the labels that some write into them."""
    first = other.records[0].values
    if "custom_id" not in first or other.is_log:
        return None
    for fields in _requested(first):
        if any("messages" in record.values for record in sight.records):
            return None
        overlap = overlap_of(keys, "custom_id", other, "custom_id")
        if not overlap.fits:
            return None
        given = set(fields.values())
        columns = {path: values for path, values in other.columns().items() if path not in given}
        labels = truth_names(named_truths(columns), sight, other, choose)
        return Partner((PROMPTS, LABELS) if labels else (PROMPTS,), other, overlap, fields | labels)
    return None


def _requested(first: Mapping[str, object]) -> Iterator[dict[str, str]]:
    """Yield where a row holds what the model was given, if it is a request."""
    for name in _REQUESTS:
        body = first.get(name)
        if isinstance(body, Mapping):
            fields = {key: f"{name}.{key}" for key in _GIVEN if key in body}
            if isinstance(body.get("input"), str):
                fields["prompt"] = f"{name}.input"
            elif isinstance(body.get("input"), list):
                fields["messages"] = f"{name}.input"
            if fields:
                yield fields


def _of_langfuse(sight: Sight, other: Sight, keys: Keys, *, is_named: bool) -> Partner | None:
    first = other.records[0].values
    if other.is_log or not is_score(first):
        return None
    names = OBSERVATIONS if first_of(first, OBSERVATIONS) else TRACES
    key = next((name for name in names if first.get(name)), None)
    if key is None:
        return None
    values = sight.records[0].values
    own = "id" if names is OBSERVATIONS else next((name for name in TRACES if name in values), TRACES[0])
    is_word = first.get("value") is None
    value = next((name for name in ("string_value", "stringValue") if is_word and first.get(name)), "value")
    overlap = overlap_of(keys, own, other, key)
    return Partner((SCORES,), other, overlap, {VERDICT: value}) if overlap.shared or is_named else None
