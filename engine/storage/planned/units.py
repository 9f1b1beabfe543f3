"""Units of a plan, and what its causal part asks for: the records of ``plan/units.json`` and ``plan/causal.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class PlannedUnit:
    """A unit of a plan: its name and the ids that it must account for.

    Attributes
    ----------
    source
        The measure unit whose samples it takes; empty where its samples are its own.
    sha256
        Checksum of its encoded samples; empty where none belong to it.
    """

    name: str
    sample_ids: list[str]
    source: str = ""
    sha256: str = ""

    def to_json(self) -> dict[str, object]:
        """Return the unit's entry in a plan."""
        return {name: value for name in _UNIT_KEYS if (value := getattr(self, name)) or name in ("name", "sample_ids")}

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> PlannedUnit:
        """Return the unit of an entry.

        Raises
        ------
        ValueError
            When it has another shape.
        """
        names, ids = (entry["name"], entry.get("source", ""), entry.get("sha256", "")), entry["sample_ids"]
        if not all(isinstance(name, str) for name in names) or not isinstance(ids, list):
            raise ValueError("a unit has a name and a list of ids")
        return cls(entry["name"], entry["sample_ids"], entry.get("source", ""), entry.get("sha256", ""))


_UNIT_KEYS = ("name", "source", "sample_ids", "sha256")


class Partner(NamedTuple):
    """The sample whose heads replace those of another, and the measure unit that it lies in."""

    source: str
    sample_id: str


class ScreenedHeads(NamedTuple):
    """Layer and head of the heads that screening chose, and of as many random ones of the same layers."""

    top: list[tuple[int, int]]
    random: list[tuple[int, int]]


class CircuitPlan(NamedTuple):
    """What every sample's circuit shares.

    Attributes
    ----------
    heads
        Layer and query head of each.
    key_groups
        Names of the key groups that are sources.
    edges
        Every edge, the strongest first by mean size over the samples that choose: source (layer and head, or a key
        group), target (layer and head, or None for the logits) and input; empty until they are ranked.
    controls
        Random orders of those edges that start from heads, as their places among them.
    held_out
        Ids of the samples that verify, on which neither heads nor edges are chosen; empty: all choose and verify.
    """

    heads: list[tuple[int, int]]
    key_groups: list[str]
    edges: list[list[Any]]
    controls: list[list[int]]
    held_out: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CausalPlan:
    """What ``plan/causal.json`` holds.

    Attributes
    ----------
    partners
        By sample id; empty unless heads are replaced by those of other samples.
    fingerprints
        Checksums of the tables that all causal units share, by name.
    matched
        The right prediction that is matched with each wrong one, by its sample id; empty unless asked for.
    circuit
        What circuits share; None unless asked for.
    """

    units: list[PlannedUnit]
    partners: dict[str, Partner]
    screened: ScreenedHeads
    fingerprints: dict[str, str]
    matched: dict[str, Partner] = field(default_factory=dict)
    circuit: CircuitPlan | None = None

    def to_json(self) -> dict[str, object]:
        """Return the content of ``plan/causal.json``."""
        return {
            "units": [unit.to_json() for unit in self.units],
            "partners": self.partners,
            "screened": self.screened._asdict(),
            "fingerprints": self.fingerprints,
            **({"matched": self.matched} if self.matched else {}),
            **({"circuit": self.circuit._asdict()} if self.circuit else {}),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> CausalPlan:
        """Return the plan that ``plan/causal.json`` holds."""
        circuit = content.get("circuit")
        top, random = ([(layer, head) for layer, head in content["screened"][kind]] for kind in ScreenedHeads._fields)
        return cls(
            units=[PlannedUnit.from_json(entry) for entry in content["units"]],
            partners={sample_id: Partner(*partner) for sample_id, partner in content["partners"].items()},
            screened=ScreenedHeads(top, random),
            fingerprints=content["fingerprints"],
            matched={sample_id: Partner(*match) for sample_id, match in content.get("matched", {}).items()},
            circuit=circuit
            and CircuitPlan(
                [(layer, head) for layer, head in circuit["heads"]],
                circuit["key_groups"],
                circuit["edges"],
                circuit["controls"],
                circuit.get("held_out", []),
            ),
        )
