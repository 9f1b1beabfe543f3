"""Samples → encoded samples: chat template, character offsets, decision position, contrast tokens, token groups.

Prompt and answer are tokenised separately and concatenated, as generation did; the recorded answer is teacher-forced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jinja2
import numpy as np

from engine.config import Config
from engine.samples import SEGMENTS, EncodedSample, IntArray, Message, RowRejected, Sample, StatementSpan
from engine.statements import SPAN_KINDS, group_spans, named_item_spans, parse_statement, period_spans, statement_span
from engine.token_groups import TokenGroups, positions_in_spans, span_key
from engine.tokenizer import chat_template, without_special_tokens

_ROLE_SEGMENT = {"system": "system", "user": "instruction", "assistant": "history", "tool": "history"}
_LONG = 16
"""Characters per token of context above which a text is first counted by a part of it."""


@dataclass(slots=True)
class _Structure:
    """Where the parts of a rendered prompt stand, in characters.

    Attributes
    ----------
    segments
        Segment and span, later ones inside earlier ones.
    groups
        Spans by kind, and by kind and name, as key groups ask for them.
    named
        Spans of each line item and each period, by kind and name.
    """

    segments: list[tuple[str, tuple[int, int]]] = field(default_factory=list)
    groups: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    named: dict[tuple[str, str], list[tuple[int, int]]] = field(default_factory=dict)


class Encoder:
    """Encodes samples for one tokenizer and one config.

    Parameters
    ----------
    config
        The run's config.
    tokenizer
        A fast tokenizer.
    groups
        Key groups and query groups.
    max_tokens
        The model's context length, or None when it has no limit.
    """

    def __init__(self, config: Config, tokenizer: Any, groups: TokenGroups, max_tokens: int | None):
        self.config = config
        self.tokenizer = tokenizer
        self.groups = groups
        self.max_tokens = max_tokens
        self.template = chat_template(config, tokenizer)

    def encode(self, sample: Sample) -> EncodedSample:
        """Return the sample as the model saw it.

        Raises
        ------
        RowRejected
            When it is longer than the model's context, or the labels' tokens cannot be told apart in it.
        """
        prompt = render(self.tokenizer, self.template, sample.messages)
        self._refuse_endless(prompt, sample.response)
        prompt_ids, prompt_starts, prompt_ends = self._tokenize(prompt, add_special_tokens=self.template is None)
        answer_ids, answer_starts, answer_ends = self._tokenize(sample.response)
        num_tokens = len(prompt_ids) + len(answer_ids)
        if self.max_tokens is not None and num_tokens > self.max_tokens:
            raise RowRejected(
                "encode",
                "longer_than_context",
                f"{num_tokens} tokens (prompt {len(prompt_ids)}, answer {len(answer_ids)}) do not fit into the model's "
                f"context of {self.max_tokens}; nothing is truncated.",
            )
        if not prompt_ids:
            raise RowRejected("encode", "empty_prompt", "The prompt has no token, so no row predicts the answer.")
        index, contrast = self._contrast(sample, answer_ids)
        decision = len(prompt_ids) + index - 1
        text = prompt + sample.response
        starts = np.array(prompt_starts + [s + len(prompt) for s in answer_starts], dtype=np.int32)
        ends = np.array(prompt_ends + [e + len(prompt) for e in answer_ends], dtype=np.int32)
        structure = _structure(prompt, sample.messages)
        segments = _segment_codes(structure, starts, ends, len(prompt_ids))
        keys = self.groups.key_positions(
            text, starts, ends, segments, len(prompt_ids), decision, structure.groups
        )  # fmt: skip
        return EncodedSample(
            sample_id=sample.sample_id,
            metadata=self._metadata(sample, prompt, is_beside=answer_ends[index] <= sample.label_start),
            text=text,
            input_ids=np.array(prompt_ids + answer_ids, dtype=np.int32),
            char_starts=starts,
            char_ends=ends,
            segments=segments,
            num_prompt_tokens=len(prompt_ids),
            decision_position=decision,
            contrast_token_ids=contrast,
            key_groups=keys,
            query_groups=self.groups.query_positions(keys, num_tokens, len(prompt_ids), decision),
            spans=_statement_spans(structure, starts, ends),
        )

    def encode_text(self, sample_id: str, text: str) -> EncodedSample:
        """Return a text without any answer; its last row, which predicts the next token, is the decision row.

        Raises
        ------
        RowRejected
            When it is longer than the model's context, or has no token.
        """
        self._refuse_endless(text, "")
        ids, starts, ends = self._tokenize(text, add_special_tokens=True)
        if self.max_tokens is not None and len(ids) > self.max_tokens:
            raise RowRejected(
                "encode", "longer_than_context",
                f"{len(ids)} tokens do not fit into the model's context of {self.max_tokens}; nothing is truncated.",
            )  # fmt: skip
        return self.encode_tokens(sample_id, text, ids, starts, ends)

    def encode_tokens(
        self, sample_id: str, text: str, ids: Sequence[int], char_starts: Sequence[int], char_ends: Sequence[int]
    ) -> EncodedSample:
        """Return a text whose tokens are known, as ``encode_text`` does.

        Raises
        ------
        RowRejected
            When it has no token.
        """
        if not len(ids):
            raise RowRejected("encode", "empty_prompt", "The text has no token.")
        starts, ends = np.array(char_starts, dtype=np.int32), np.array(char_ends, dtype=np.int32)
        structure = _structure(text, [Message("user", text)])
        num_tokens = len(ids)
        segments = _segment_codes(structure, starts, ends, num_tokens)
        last = num_tokens - 1
        keys = self.groups.key_positions(text, starts, ends, segments, num_tokens, last, structure.groups)
        return EncodedSample(
            sample_id=sample_id,
            metadata={},
            text=text,
            input_ids=np.array(ids, dtype=np.int32),
            char_starts=starts,
            char_ends=ends,
            segments=segments,
            num_prompt_tokens=num_tokens,
            decision_position=last,
            contrast_token_ids=(0, 0),
            key_groups=keys,
            query_groups=self.groups.query_positions(keys, num_tokens, num_tokens, last),
            spans=_statement_spans(structure, starts, ends),
        )

    def _metadata(self, sample: Sample, prompt: str, is_beside: bool) -> dict[str, object]:
        """Return what the ``samples`` table repeats of the record, with the flags that only encoding can tell."""
        metadata: dict[str, object] = {
            name: getattr(sample, name)
            for name in ("cluster", "year", "actual_label", "predicted_label", "raw_predicted_label", "label_source",
                         "is_correct", "certainty", "magnitude")
        }  # fmt: skip
        flags = list(sample.flags)
        if is_beside:  # the tokenizer joins the sign before the other label's word to it, and not this one's
            flags.append("decision_beside_word")
        if sample.recorded_prompt is not None and self.template is not None:
            seen, recorded = (without_special_tokens(self.tokenizer, t) for t in (prompt, sample.recorded_prompt))
            if seen != recorded:  # such as a system part that only the template adds
                flags.append("prompt_differs")
        return metadata | {"flags": flags} | {f"field_{name}": value for name, value in sample.kept.items()}

    def _refuse_endless(self, prompt: str, response: str) -> None:
        """Turn a text away by its first part when it is far beyond the context: megabytes take minutes to encode."""
        if self.max_tokens is None or len(prompt) + len(response) <= _LONG * self.max_tokens:
            return
        text = (prompt + response)[: _LONG * self.max_tokens]
        part = len(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
        if part > self.max_tokens + _LONG:
            raise RowRejected(
                "encode",
                "longer_than_context",
                f"{len(prompt) + len(response):,} characters, of which the first {len(text):,} alone are {part} "
                f"tokens, do not fit into the model's context of {self.max_tokens}; nothing is truncated.",
            )

    def _tokenize(self, text: str, add_special_tokens: bool = False) -> tuple[list[int], list[int], list[int]]:
        coded = self.tokenizer(text, add_special_tokens=add_special_tokens, return_offsets_mapping=True, verbose=False)
        offsets = coded["offset_mapping"]
        return list(coded["input_ids"]), [start for start, _ in offsets], [end for _, end in offsets]

    def _contrast(self, sample: Sample, answer_ids: list[int]) -> tuple[int, tuple[int, int]]:
        """Find where the labels' tokens first differ.

        Each label's word is put in the recorded word's place, in the same case, and the answer is tokenised again:
        the first position at which the recorded answer and these variants differ holds the distinguishing tokens.
        Where the recorded label is a third one that parts from both before they part from each other, both tokens are
        the same and the logit difference has no meaning: it is null in the tables.

        Returns
        -------
        tuple of int and (int, int)
            Position in the answer, and the distinguishing tokens of ``decision.contrast``.
        """
        recorded = sample.response[sample.label_start : sample.label_end]
        variants: list[list[int]] = []
        others: list[list[int]] = []
        for label in self.config.decision.contrast:
            if label == sample.answer_label:
                variants.append(answer_ids)
                continue
            word = _same_case(self._spelling(label, sample.label_spelling), recorded)
            text = sample.response[: sample.label_start] + word + sample.response[sample.label_end :]
            variants.append(self._tokenize(text)[0])
            others.append(variants[-1])
        first, second = variants
        index = min(_first_difference(first, second), *(_first_difference(answer_ids, other) for other in others))
        if index >= min(len(first), len(second), len(answer_ids)):
            raise RowRejected(
                "encode",
                "indistinct_labels",
                f"The tokens of {' and '.join(self.config.decision.contrast)} cannot be told apart in place of "
                f"{recorded!r}.",
            )
        return index, (first[index], second[index])

    def _spelling(self, label: str, index: int) -> str:
        """Return the spelling that corresponds to the recorded one, or the first when there is none."""
        spellings = self.config.decision.labels[label]
        return spellings[index] if index < len(spellings) else spellings[0]


def render(tokenizer: Any, template: str | None, messages: Sequence[Message]) -> str:
    """Return a conversation as the model sees it, up to where its answer begins.

    Raises
    ------
    RowRejected
        When the chat template refuses the conversation.
    """
    if template is None:
        return "".join(message.content for message in messages)
    turns = [{"role": message.role, "content": message.content} for message in messages]
    try:
        return tokenizer.apply_chat_template(
            turns, chat_template=template, tokenize=False, add_generation_prompt=True
        )  # fmt: skip
    except jinja2.TemplateError as error:
        raise RowRejected(
            "encode", "template_refuses", f"The chat template cannot render this conversation: {error}"
        ) from None


def _structure(prompt: str, messages: Sequence[Message]) -> _Structure:
    """Find every message, and the tables of the user's ones, in the rendered prompt."""
    found = _Structure()
    cursor = 0
    for message in messages:
        content = message.content.strip()
        begin = prompt.find(content, cursor)
        if not content or begin < 0:
            continue
        cursor = begin + len(content)
        found.segments.append((_ROLE_SEGMENT.get(message.role, "history"), (begin, cursor)))
        if message.role == "user":
            _add_statement(found, content, begin)
    return found


def _add_statement(found: _Structure, content: str, begin: int) -> None:
    span = statement_span(content)
    if span:
        found.segments.append(("statement", (begin + span[0], begin + span[1])))
    statement = parse_statement(content)
    for kind in SPAN_KINDS:
        found.groups.setdefault(kind, []).extend(_shifted(group_spans(statement, kind), begin))
    for kind, named in (("line_item", named_item_spans(statement)), ("period", period_spans(statement))):
        for name, spans in named.items():
            found.named.setdefault((kind, name), []).extend(_shifted(spans, begin))
            found.groups.setdefault(span_key(f"{kind}: {name}"), []).extend(_shifted(spans, begin))


def _shifted(spans: Sequence[tuple[int, int]], by: int) -> list[tuple[int, int]]:
    return [(start + by, end + by) for start, end in spans]


def _statement_spans(structure: _Structure, starts: IntArray, ends: IntArray) -> tuple[StatementSpan, ...]:
    return tuple(
        StatementSpan(kind, name, positions_in_spans(sorted(spans), starts, ends))
        for (kind, name), spans in structure.named.items()
    )


def _segment_codes(structure: _Structure, starts: IntArray, ends: IntArray, num_prompt_tokens: int) -> IntArray:
    codes = np.full(len(starts), SEGMENTS.index("template"), dtype=np.int32)
    for segment, span in structure.segments:
        codes[positions_in_spans([span], starts, ends)] = SEGMENTS.index(segment)
    codes[num_prompt_tokens:] = SEGMENTS.index("response")
    return codes


def _first_difference(first: list[int], second: list[int]) -> int:
    """Return the first index at which two lists differ; the shorter length when they do not."""
    for index, (a, b) in enumerate(zip(first, second, strict=False)):
        if a != b:
            return index
    return min(len(first), len(second))


def _same_case(word: str, like: str) -> str:
    """Return the word in the case style (upper, lower, title, capitalised) of another."""
    if like.isupper() and len(like) > 1:
        return word.upper()
    if like.islower():
        return word.lower()
    if like.istitle() and " " in like:
        return word.title()
    if like[:1].isupper():
        return word[:1].upper() + word[1:]
    return word
