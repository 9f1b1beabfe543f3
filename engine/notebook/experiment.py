"""From a list of samples to a run directory, inline and with the model at hand, and from there to the cluster."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import torch
import yaml

from analyses.settings.hypotheses import read_text
from engine.config import Config, load_config
from engine.errors import UserError
from engine.machine.atomic_files import replace_file
from engine.model.lent import lent
from engine.model.wrapped import refuse_wrapped
from engine.notebook.runs import OpenRun, open_run
from engine.notebook.workbench import PromptSource, in_inference_state, model_name, notebook_config, prompt_source
from engine.stages import RunOptions, run_stages

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class Experiment(OpenRun):
    """A finished run of a notebook's samples: all of ``open_run``, and the config that repeats it elsewhere.

    Attributes
    ----------
    research_question
        As it was asked.
    settings
        The run's ``Config``.
    """

    def __init__(self, run_dir: Path, settings: Config, research_question: str, is_named: bool):
        opened = open_run(run_dir)
        super().__init__(opened.run_tables)
        self.settings, self.research_question, self._is_named = settings, research_question, is_named

    @property
    def answer(self) -> pl.DataFrame:
        """Rows of the table ``hypotheses``: verdict, effect with interval, p."""
        return self.table("hypotheses").collect()

    def to_config(self, path: str | Path | None = None, mode: str = "auto") -> str:
        """Return the YAML of the same analysis for the command line, and write it when a path is given.

        Parameters
        ----------
        path
            Where to write it.
        mode
            ``cluster.mode`` of the new run: ``auto`` joins a Ray cluster or starts one, ``local``, ``inline``.

        Notes
        -----
        ``python -m engine.run <path>`` then gives the same tables. The samples lie in the file that
        ``predictions.path`` names; replace it by a larger one of the same fields.
        """
        content = self.settings.model_dump(mode="json", exclude_defaults=True)
        content["run"] = {**content.get("run", {}), "name": f"{self.settings.run.name}-cluster"}
        content["cluster"] = {**content.get("cluster", {}), "mode": mode}
        lines = [
            f"# {' '.join(self.research_question.split())}" if self.research_question else "# An experiment",
            "#   python -m engine.run THIS_FILE",
        ]
        if not self._is_named:
            lines.append(
                "# model.path: this model was made in a notebook; save it (model.save_pretrained, "
                "tokenizer.save_pretrained) and put the folder here."
            )
        text = "\n".join([*lines, yaml.safe_dump(content, sort_keys=False, allow_unicode=True)])
        if path is not None:
            replace_file(Path(path), text.encode())
        return text


def run_interpretability_experiment(
    data_samples: Sequence[Mapping[str, object] | str] | pl.DataFrame,
    research_question: str = "",
    model: PreTrainedModel | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    *,
    config: Config | str | Path | Mapping[str, object] | None = None,
    vocabulary: str | Path | Mapping[str, Sequence[str]] | None = None,
    name: str = "experiment",
    output: str | Path = "runs",
    fresh: bool = False,
) -> Experiment:
    """Run the whole pipeline on a list of samples, inline, and return its run directory.

    What happens is what ``python -m engine.run`` does: plan, measure, verify, test, report. (The guide analysed single
    samples and left aggregation and tests to functions that it does not define.)

    Parameters
    ----------
    data_samples
        Records with the fields of a predictions file, a frame of them, or prompts, which the model then answers.
    research_question
        Kept beside the run and in its YAML. A hypothesis by its name or as a sentence that docs/inference.md knows
        ("later layers show more financial attention") becomes the run's only one, answered by ``answer``.
    model, tokenizer
        Loaded already; without them, those of the config are loaded.
    config, vocabulary
        As for ``FinancialAttentionAnalyzer``; a causal section, other groups and so on all work.
    name, output
        The run directory is ``<output>/<name>``; the same samples go on with it, others need another name or ``fresh``.
    fresh
        Sets an earlier run of this name aside.

    Raises
    ------
    UserError
        When samples or config cannot be used; the message is that of the command line.
    """
    records = [dict(row) if isinstance(row, Mapping) else row for row in _rows(data_samples)]
    if not records:
        raise UserError("data_samples: give at least one record or prompt.")
    if model is not None:
        refuse_wrapped(model)
    if model is None or tokenizer is None:
        settings = _without_model(config)
    else:
        settings = _with_model(model, tokenizer, config, vocabulary)
    settings.run.name, settings.run.output = name, str(output)
    settings.cluster.mode, settings.cluster.cpus_per_replica = "inline", torch.get_num_threads()
    if _is_understood(research_question):
        settings.analysis = settings.analysis.model_copy(update={"hypotheses": (research_question,)})
    _point_at(settings, records, Path(output) / name)
    is_named = model is None or bool(getattr(model, "name_or_path", ""))
    run_dir = _run(settings, model, tokenizer, fresh)
    replace_file(run_dir / "question.txt", f"{research_question}\n".encode())
    return Experiment(run_dir, settings, research_question, is_named)


def _is_understood(question: str) -> bool:
    return bool(question) and not read_text(question).problem


def _run(
    settings: Config, model: PreTrainedModel | None, tokenizer: PreTrainedTokenizerBase | None, fresh: bool
) -> Path:
    threads = torch.get_num_threads()
    try:
        if model is None or tokenizer is None:
            return run_stages(settings, {}, RunOptions(fresh=fresh)).root
        with lent(model, tokenizer), in_inference_state(model):
            return run_stages(settings, {}, RunOptions(fresh=fresh)).root
    finally:
        torch.set_num_threads(threads)


def _with_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    config: Config | str | Path | Mapping[str, object] | None,
    vocabulary: str | Path | Mapping[str, Sequence[str]] | None,
) -> Config:
    settings = notebook_config(model, tokenizer, config, vocabulary)
    settings.model.path = model_name(model)
    settings.model.device = model.device.type  # type: ignore[assignment]
    settings.model.dtype = str(model.dtype).removeprefix("torch.")  # type: ignore[assignment]
    return settings


def _without_model(config: Config | str | Path | Mapping[str, object] | None) -> Config:
    if isinstance(config, str | Path):
        return load_config(config)[0]
    if isinstance(config, Config):
        return config.model_copy(deep=True)
    raise UserError("model, tokenizer: give both, or a config file whose model.path names the model.")


def _rows(samples: Sequence[Mapping[str, object] | str] | pl.DataFrame) -> Sequence[Mapping[str, object] | str]:
    if isinstance(samples, pl.DataFrame):
        return samples_from_frame(samples)
    if isinstance(samples, str | Mapping):
        raise UserError("data_samples: give a list of records or prompts, not a single one.")
    return [sample for sample in samples if sample is not Ellipsis]


def _point_at(settings: Config, records: Sequence[dict[str, object] | str], run_dir: Path) -> None:
    """Write the samples to a file that the config names, which never changes: its name has its digest."""
    rows: list[dict[str, object]] = [{"prompt": row} if isinstance(row, str) else row for row in records]
    if "source" not in settings.prompt.model_fields_set:
        sources: set[PromptSource] = {prompt_source(row, settings) for row in rows}
        if len(sources) > 1:
            raise UserError(
                f"data_samples: some records hold {' and others '.join(sorted(sources))}; give records of one kind, or "
                f"choose prompt.source in the config."
            )
        settings.prompt.source = sources.pop()
    fields = settings.predictions.fields
    if settings.prompt.source == "fields" and not any(row.get(fields.response) for row in rows):
        settings.generation.enabled = True
    try:
        lines = [json.dumps(row, ensure_ascii=False, default=str) for row in rows]
    except (TypeError, ValueError) as error:
        raise UserError(f"data_samples: a record cannot be written as JSON: {error}.") from None
    content = ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")
    digest = hashlib.sha256(content).hexdigest()[:12]
    path = run_dir.with_name(f"{run_dir.name}-samples-{digest}.jsonl").absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, content)
    settings.predictions.path, settings.predictions.format = str(path), "jsonl"


def samples_from_frame(df: Any, **columns: str) -> list[dict[str, object]]:
    """Return the rows of a frame as records of a predictions file.

    Parameters
    ----------
    df
        A Polars, pandas or Arrow table.
    columns
        Which column holds a field, where the names differ: ``prompt="question", actual_label="truth"``.

    Raises
    ------
    UserError
        When a column is not there.

    Examples
    --------
    >>> samples_from_frame(pl.DataFrame({"question": ["Rise?"], "answer": ["increase"]}), prompt="question",
    ...                    response="answer")
    [{'prompt': 'Rise?', 'response': 'increase'}]
    """
    if isinstance(df, pl.LazyFrame):
        df = df.collect()
    if not isinstance(df, pl.DataFrame):
        df = pl.DataFrame(df.to_dict("list")) if hasattr(df, "iloc") else pl.from_arrow(df)
    for field, column in columns.items():
        if column not in df.columns:
            raise UserError(f"samples_from_frame: {field}={column!r} is no column; columns: {', '.join(df.columns)}.")
    others = df.drop([field for field in columns if field in df.columns and field not in columns.values()])
    renamed = others.rename({column: field for field, column in columns.items()})
    return [{name: value for name, value in row.items() if value is not None} for row in renamed.to_dicts()]
