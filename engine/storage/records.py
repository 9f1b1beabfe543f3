"""What was measured and said of it, as typed records: unit facts, manifest, ledger row, ``run.yaml``.

Dataclasses are what this code makes and reads itself; dictionaries with named keys are files that must stay what they
are, whatever other versions wrote into them: their checksums cover every key.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, NotRequired, Required, TypedDict

from engine.machine.atomic_files import FileFacts

Settings = dict[str, Any]
"""A resolved config as ``Config.model_dump`` gives it: sections of values of any type, one more for each section."""


class UnitFacts(TypedDict, total=False):
    """What a replica says of one unit: how, where and how fast it was done, and the checks' figures."""

    num_tokens: Required[int]
    """Tokens measured."""
    device: str
    """cpu, mps, or the GPU's name."""
    attention: str
    """The backend."""
    dtype: str
    """What the model computed in."""
    measure_seconds: float
    """Of measuring, the check before it included."""
    load_seconds: float
    """Until the replica had its model."""
    explain_seconds: float
    """Of causes, in a causal unit."""
    tokens_per_second: float
    """Of this unit."""
    peak_memory_bytes: int | None
    """Of the GPU's tensors, or of the whole process."""
    divided_sample_ids: list[str]
    """Samples that were not measured in their planned batch: equal within rounding only."""
    smallest_token_budget: int | None
    """Of a batch, where batches had to be halved."""
    logit_deviation: float | None
    """Largest difference of logits in the check."""
    is_packed: bool
    """Whether samples shared rows."""
    num_shared_tokens: int
    """Tokens of ``num_tokens`` that were computed with another sample that begins with the same ones."""
    why_unshared: str
    """Why samples did not share what they begin with, where a check found that they must not; empty else."""
    fallback_layers: dict[str, list[int]]
    """Layers that another backend than ``attention`` computed, by its name."""
    num_layers: int
    """Of the model."""
    num_heads: int
    """Of each layer."""
    why_unattributed: str
    """Why samples have no attributions, where the model's parts are not known; empty else."""
    why_uncopied: str
    """Why heads have no copy score, where the model's parts are not known, or depend on the row; empty else."""
    num_attributed: int
    """Samples with attributions."""
    max_row_sum_error: float
    """How far the weights of a row were from 1, at most."""
    max_future_mass: float
    """Weight that any row put on what comes after it, at most."""
    num_deaths: int
    """Sudden deaths of replicas that worked on the unit before."""
    isolated_sample_ids: list[str]
    """Samples that were measured alone, after a death."""


class Manifest(TypedDict):
    """What ``manifest.json`` of a committed unit holds."""

    unit: str
    """Its name."""
    schema_version: str | int
    """Of its tables."""
    attempt: str
    """Which attempt committed it."""
    sample_ids: list[str]
    """Samples that it holds."""
    rejected_ids: list[str]
    """Samples of it that were turned away."""
    files: dict[str, FileFacts]
    """Its files, with rows, bytes and checksum."""
    facts: UnitFacts
    """What the replica says of it."""
    replaces: NotRequired[list[Manifest]]
    """Of merged units: their own manifests, in plan order."""
    digest: NotRequired[str]
    """Checksum of everything else in it; absent only while it is being made."""


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """What comes back from an executor of one unit.

    Attributes
    ----------
    state
        ``stopped`` where the run was asked to stop before the unit was begun.
    seconds
        From the start of the unit's work to its commit.
    detail, exit_code
        Why the unit failed, or what a person should know of one that is committed; the exit code that this asks for.
    num_deaths
        Sudden deaths of replicas that worked on it before.
    """

    unit: str
    state: Literal["committed", "stopped", "failed"]
    num_samples: int = 0
    num_rejects: int = 0
    num_tokens: int = 0
    seconds: float = 0.0
    detail: str = ""
    exit_code: int = 0
    num_deaths: int = 0
    peak_memory_bytes: int = 0

    def to_json(self) -> dict[str, object]:
        """Return the row as values that any process can be told."""
        return asdict(self)


class RunCounts(TypedDict):
    """What ``_SUCCESS`` holds: verified numbers of units, samples and rejects."""

    units: int
    samples: int
    rejects: int
    causal_units: NotRequired[int]
    causal_samples: NotRequired[int]
    causal_rejects: NotRequired[int]


# ---------------------------------------------------------------- run.yaml


class RunRecord(TypedDict):
    """What ``run.yaml`` holds: the resolved config, and all that a repetition of the run must match."""

    config: Settings
    """Every section, with its defaults."""
    seed: int
    """``run.seed``."""
    debug: bool
    """Whether it is a run of ``--debug``."""
    version: str
    """Of the program."""
    schema_version: str | int
    """Of the tables."""
    code: str
    """Checksum of the code that measures."""
    versions: dict[str, str | None]
    """Of the packages that numbers may depend on."""
    commit: str | None
    """Of the checkout; null outside of one."""
    fingerprints: dict[str, str]
    """Checksums of model, adapter, tokenizer, input, vocabulary and chat template."""
    device: str | None
    """Where the first unit was measured."""
    attention: str | None
    """The backend that measured it."""
    fallback_layers: dict[str, list[int]] | None
    """Layers that another backend than ``attention`` computed, by its name, in the first unit."""
    start_check: object
    """What the check before measuring found; None before it."""
    warnings: list[str]
    """What the plan warned of."""
    machine: dict[str, object]
    """Operating system and number of CPUs."""
    timings: dict[str, float]
    """Seconds of the stages: plan, collect, analyze."""
