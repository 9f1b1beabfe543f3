"""What a person should know of a plan before the run starts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from engine.config import Config
from engine.config.causes.method import ALL_ROWS
from engine.encoding.random_vocabulary import mean_overlap
from engine.inputs.answers.heard import SHORT
from engine.inputs.answers.languages import languages
from engine.inputs.files import ignored_files
from engine.inputs.label_values import counted, mapping_line
from engine.inputs.predictions import Scan
from engine.planning.flags import CAVEATS_OF_FLAGS
from engine.planning.tally import FREE
from engine.samples import FLAG_NAMES
from engine.schema import FEWEST_SENTENCES, MOST_SENTENCES, SENTENCES_APART
from engine.storage.planned.plan import Plan

_ICONV = re.compile(r"iconv -f (\S+)")
_SHOWN_NAMES = 5
"""Headers, and the like, that a warning names at most."""
_MAX_OVERLAP = 0.5
"""Share of words that random vocabularies may have in common before the plan warns."""


def plan_warnings(config: Config, plan: Plan, scan: Scan | None = None) -> list[str]:
    """Return sentences about what the samples cannot show, though they can be measured.

    Parameters
    ----------
    config, plan
        The run's config, and what was planned.
    scan
        What was read of the predictions' files.
    """
    of_rows = list(_of_rows(scan)) if scan else []
    if not plan.num_samples:
        return [f"None of {plan.num_rows} rows can be measured yet.", *of_rows]
    return [
        *_of_labels(config, plan),
        *_of_circuit(config, plan),
        *_of_values(config, plan),
        *_of_languages(config, plan),
        *_of_texts(plan),
        *_of_reading(config, plan),
        *_of_presets(config),
        *_of_files(config),
        *of_rows,
    ]


def _of_rows(scan: Scan) -> Iterator[str]:
    """Yield what other programs did to the rows."""
    for program, ids in scan.cut_cells.items():
        yield (
            f"{len(ids)} row(s), such as {', '.join(ids[:3])}, hold a text just as long as a cell of {program} may be: "
            f"it was probably cut off there, prompt or answer with it. Write the rows from the program that made them "
            f"as JSON Lines or Parquet."
        )
    misread = [reject for reject in scan.rejects if " is not UTF-8 text: " in reject.detail]
    if misread:
        ids = ", ".join(reject.sample_id for reject in misread[:3])
        named = Counter(_ICONV.findall(" ".join(reject.detail for reject in misread))).most_common(1)
        encoding = named[0][0] if named else "WINDOWS-1252"
        yield (
            f"{len(misread)} row(s), such as {ids}, are no UTF-8 text and were left out. If the file is in {encoding}, "
            f"as it looks, convert it: iconv -f {encoding} -t UTF-8, or save it as CSV UTF-8 in the spreadsheet."
        )


def _of_circuit(config: Config, plan: Plan) -> Iterator[str]:
    """Yield what a circuit will take, and which samples have none."""
    circuit, model = config.causal.circuit, plan.model
    if circuit is None:
        return
    if model.num_layers is not None and model.num_heads is not None:
        sizes = {"num_layers": model.num_layers, "num_heads": model.num_heads}
        own = circuit.forwards(**sizes, num_groups=len(plan.key_groups) - len(plan.random_vocabularies))
        before = ""
        if circuit.num_ablated:
            heads = (model.num_layers - len(model.headless_layers)) * model.num_heads
            number = f"{heads * ALL_ROWS:.0f}"
            before = f", after an ablation of each of {heads:,} heads (about {number} more; {{top: k}} is far cheaper)"
        yield (
            f"causal.circuit linearises up to {circuit.most_edges:,} edge(s) between {circuit.num_heads} head(s) and "
            f"to the logits in {circuit.steps} run(s) with gradients, verifies up to {circuit.verified:,} of them and "
            f"as many from key groups, and runs circuits of growing size: about {own:.0f} forwards a sample on "
            f"average{before}."
        )
    if circuit.selection == 1:
        yield (
            "causal.circuit.selection is 1: heads and edges are chosen and verified on the same samples, so that "
            "effects of the chosen ones look larger than they are."
        )
    else:
        yield (
            f"causal.circuit chooses heads and edges on {100 * circuit.selection:.0f} % of the clusters and verifies "
            "them on the samples of the others alone; where all samples are of one cluster, on the same."
        )
    if circuit.replace == "matched":
        yield "causal.circuit.replace is matched: only wrong predictions with a matching right one have edges."


def _of_labels(config: Config, plan: Plan) -> Iterator[str]:
    """Yield what cannot be compared for want of a second kind of sample."""
    correct = set(plan.samples_by_is_correct) - {"None"}
    if len(correct) == 1:
        word = "right" if correct == {"True"} else "wrong"
        yield f"All {plan.num_samples} predictions are {word}: correct and incorrect cannot be compared."
    elif not correct and config.predictions.fields.correct is None:
        yield "No row has a known actual label: correct and incorrect cannot be compared."
    elif not correct:
        name = config.predictions.fields.correct
        yield f"No row says in {name!r} whether it is right: correct and incorrect cannot be compared."
    pair = config.decision.pair
    third = [label for label in config.decision.labels if pair and label not in pair]
    if pair and third and config.predictions.fields.choices is None:
        first, second = pair
        yield (
            f"decision.labels names {len(config.decision.labels)} labels: logit_difference and all causal numbers "
            f"compare {first!r} with {second!r} alone, in samples that say {' or '.join(map(repr, third))} too. Choose "
            f"the pair with decision.contrast, or set it to said_vs_best_other."
        )
    unknown = plan.samples_by_actual_label.get("None", 0)
    if config.decision.contrast == "said_vs_actual" and unknown:
        yield (
            f"decision.contrast is said_vs_actual, and the actual label of {unknown} sample(s) is not known: they are "
            f"compared with the likeliest other label, as right answers are."
        )
    for samples_by, verb in (
        (plan.samples_by_predicted_label, "predict"),
        (plan.samples_by_actual_label, "turned out"),
    ):
        labels = set(samples_by) - {FREE}
        if len(labels) == 1 and "None" not in labels:
            yield f"All {plan.num_samples} rows {verb} {labels.pop()!r}: this label cannot be told from correctness."


def _of_values(config: Config, plan: Plan) -> Iterator[str]:
    """Yield the values of label fields that no label is spelled like, and the line that would map them."""
    fields = config.predictions.fields
    effects = {
        fields.target or fields.actual: "there is_correct is null"
        if fields.correct is None
        else "there actual_label is null",
        fields.predicted: "there the label is read from the value's words or from the answer",
    }
    for name, values in plan.label_values.items():
        if values["unknown"]:
            yield (
                f"{values['num_unknown']:,} row(s) hold a {name} that no label is spelled like "
                f"({counted(values['unknown'], 5)}): {effects[name]}. To map values, put each in its place in this "
                f"line of the config: {mapping_line(config.decision.labels)}"
            )


def _of_languages(config: Config, plan: Plan) -> Iterator[str]:
    """Yield how many answers are read without knowing how their language denies."""
    if config.decision.negations is not None:
        return
    names = {language.name for language in languages().values() if not language.is_partial}
    partial = [language.name for language in languages().values() if language.is_partial]
    half = {
        name: count
        for name, count in plan.answers_by_language.items()
        if name not in names and all(one in partial for one in name.split(" or "))
    }
    if half:
        shown = ", ".join(f"{name} {count:,}" for name, count in half.items())
        yield (
            f"{sum(half.values()):,} answer(s) are in a language of which only cues of answers and the plainest "
            f"denials are known ({shown}): a label in prose, without a cue such as 'Answer:', may be read as said "
            f"where it is denied or doubted. Name such words in decision.negations (docs/input.md, Languages)."
        )
    unread = {name: count for name, count in plan.answers_by_language.items() if name not in (*names, *half, SHORT)}
    if unread:
        shown = ", ".join(f"{name} {count:,}" for name, count in unread.items())
        yield (
            f"{sum(unread.values()):,} answer(s) are in a language whose denials are not known, or cannot be told "
            f"({shown}): a label that they deny in their own words is read as said. Name such words in "
            f"decision.negations (docs/input.md, Languages)."
        )


def _of_texts(plan: Plan) -> Iterator[str]:
    """Yield what key groups, random vocabularies and chat template make of the texts."""
    if plan.empty_key_groups:
        yield f"No sample has a token of the key group(s) {', '.join(plan.empty_key_groups)}."
    shared = mean_overlap(list(plan.random_vocabularies.values()))
    if shared > _MAX_OVERLAP:
        yield (
            f"The {len(plan.random_vocabularies)} random vocabularies share {shared:.0%} of their words: the "
            f"texts hold too few other words, so that the null of head types has too little spread."
        )
    for flag, caveat in CAVEATS_OF_FLAGS.items():
        number = plan.samples_by_flag.get(flag, 0)
        if number:
            of_what = [
                name.partition(FLAG_NAMES)[2] for name in plan.samples_by_flag if name.startswith(flag + FLAG_NAMES)
            ]
            shown = ": " + ", ".join(map(repr, of_what[:_SHOWN_NAMES])) if of_what else ""
            yield f"In {number} sample(s) {caveat} (flag {flag}{shown})."


def _of_reading(config: Config, plan: Plan) -> Iterator[str]:
    """Yield what reading and receiving have no rows of."""
    if plan.num_samples_without_answer:
        yield (
            f"{plan.num_samples_without_answer} of {plan.num_samples} sample(s) have no answer beside a thought: they "
            f"have no rows in reading_focus (statistics.reading_focus)."
        )
    received = config.statistics.received
    if received is None or not plan.num_samples_without_sentences:
        return
    other = "prompt" if received.sentences == "thinking" else "thinking"
    fewest = SENTENCES_APART + FEWEST_SENTENCES
    yield (
        f"{plan.num_samples_without_sentences} of {plan.num_samples} sample(s) have fewer than {fewest} sentences in "
        f"the {received.sentences}, or more than {MOST_SENTENCES:,}: their heads have no receiver_kurtosis. "
        f"statistics.received.sentences may be {other} instead, or null for none."
    )


def _of_presets(config: Config) -> Iterator[str]:
    """Yield which probes cannot be made of what the run measures."""
    choices = config.analysis.predicted
    if choices is None or not choices.presets:
        return
    if "received" in choices.presets and config.statistics.received is None:
        yield "analysis.decodability.presets names received, which needs statistics.received: that probe is not made."
    measured = config.statistics.query_groups
    missing = [name for name in choices.preset_query_groups if name not in measured]
    if missing and set(choices.presets) != {"received"}:
        is_early = bool({"prompt", "thinking"} & set(measured) & set(choices.preset_query_groups))
        yield (
            f"analysis.decodability.preset_query_groups names {', '.join(missing)}, which statistics.query_groups does "
            f"not ({', '.join(measured)}): their probes are not made."
            + ("" if is_early else " Whether heads can tell before the answer is written is not tested.")
        )


def _of_files(config: Config) -> Iterator[str]:
    ignored = ignored_files(config.predictions.path)
    if ignored:
        shown = ", ".join(file.name for file in ignored[:5])
        yield f"{len(ignored)} file(s) of {config.predictions.path} have no known suffix and were not read: {shown}."
