"""The config's ``causal`` section: every method is off unless its part is given.

The parts stand in ``causes``, a file each; ``engine/causal/methods`` does the work.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, model_validator

from engine.config.causes.attribution import AttentionGradientSection, AttributionSection
from engine.config.causes.circuit import CircuitSection
from engine.config.causes.heads import AblationSection, AmplificationSection
from engine.config.causes.knockout import KnockoutSection
from engine.config.causes.matched import MatchedSection
from engine.config.causes.method import ALL_ROWS, BACKWARD, Gradient, Matching, MethodSection, Rows, RunFacts
from engine.config.causes.patching import PatchingSection
from engine.sections import Section


class CausalSection(Section):
    """What is found out about causes, and for how many samples (drawn with the run's seed).

    The registry of methods: a part says where its method is, and methods work in the order of the parts here.
    """

    max_samples: int | None = Field(default=None, ge=1)
    """Samples that are explained, drawn with ``run.seed``; null: all. Example: 200."""
    attribution: AttributionSection | None = None
    """Direct logit attribution and head gradients."""
    attention_gradient: AttentionGradientSection | None = None
    """Attention times gradient, by key group."""
    patching: PatchingSection | None = None
    ablation: AblationSection | None = None
    amplification: AmplificationSection | None = None
    knockout: KnockoutSection | None = None
    matched: MatchedSection | None = None
    circuit: CircuitSection | None = None

    @model_validator(mode="after")
    def _a_circuit_fits_the_other_parts(self) -> CausalSection:
        if self.circuit is None:
            return self
        if self.circuit.replace == "counterfactual" and self.patching is None:
            raise ValueError(
                "circuit.replace is 'counterfactual', the edited statement of causal.patching, which is not given; "
                "give it, or use mean, zero, resample or matched"
            )
        if self.circuit.replace == "mean" and self.ablation is not None and self.ablation.mean_rows == "decision":
            raise ValueError(
                "circuit.replace is 'mean', a mean over all rows, and ablation takes means over the decision row "
                "(rows: decision); a run holds one kind. Use ablation.rows: all, or circuit.replace: zero or resample"
            )
        return self

    @property
    def parts(self) -> dict[str, MethodSection]:
        """The parts that are on, by name."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in values.items() if isinstance(value, MethodSection)}

    @property
    def is_on(self) -> bool:
        """Whether any part is asked for."""
        return bool(self.parts)

    @property
    def gradients(self) -> frozenset[Gradient]:
        """Which gradients of s any part reads."""
        return frozenset[Gradient]().union(*(part.gradients for part in self.parts.values()))

    @property
    def uses_tokenizer(self) -> bool:
        """Whether any part tokenises prompts anew."""
        return any(part.uses_tokenizer for part in self.parts.values())

    @property
    def mean_rows(self) -> Rows | None:
        """Over which rows heads' outputs are averaged over the dataset; None where nothing asks for means."""
        asked: set[Rows | None] = {part.mean_rows for part in self.parts.values()}
        asked.discard(None)
        assert len(asked) < 2, "a run holds the means of one kind of rows"
        return asked.pop() if asked else None

    @property
    def needs_partners(self) -> bool:
        """Whether any part needs another sample beside each."""
        return any(part.needs_partners for part in self.parts.values())

    @property
    def matching(self) -> Matching | None:
        """How wrong predictions are matched with right ones; None where nothing asks for it."""
        return next((part.matching for part in self.parts.values() if part.matching is not None), None)

    @property
    def num_screened(self) -> int:
        """How many heads attribution chooses at most; 0 when none are asked for."""
        return max((part.num_screened for part in self.parts.values()), default=0)

    @property
    def num_ablated(self) -> int:
        """How many heads ablation chooses at most; 0 when none are asked for."""
        return max((part.num_ablated for part in self.parts.values()), default=0)

    def gradient_groups(self, key_groups: Sequence[str]) -> Sequence[str]:
        """Return the key groups that have a column of attention gradients: all of them, or none."""
        return () if self.attention_gradient is None else key_groups

    def forwards(self, *, num_layers: int, num_heads: int, num_groups: int) -> float:
        """Return how many plain forwards explaining one sample costs; parameters as in ``MethodSection.forwards``."""
        if not self.is_on:
            return 0.0
        forwards = 1.0  # the unchanged run
        if self.num_screened or self.num_ablated or self.mean_rows is not None:
            forwards += 1.0 + (BACKWARD if self.num_screened else 0.0)
            forwards += num_layers * num_heads * ALL_ROWS if self.num_ablated else 0.0
        if self.gradients:
            forwards += BACKWARD
        for part in self.parts.values():
            forwards += part.forwards(num_layers=num_layers, num_heads=num_heads, num_groups=num_groups)
        return forwards

    def check(self, facts: RunFacts) -> None:
        """Refuse what this run does not have, part by part.

        Raises
        ------
        ConfigError
            Naming the config path, the value and what is allowed.
        """
        for name, part in self.parts.items():
            part.check(f"causal.{name}", facts)
