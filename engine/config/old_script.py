"""The old script's ``interpretability_config.yaml``: recognised by its sections, translated, every change named.

Nothing is dropped in silence: a key that has no counterpart is named with the reason, or as one that is not known.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.config.old_sections import TRANSLATORS, Translation

SECTIONS = tuple(TRANSLATORS)

_KNOWN_LAYERS = {"qwen2-7b": 28, "qwen2-1.5b": 28, "qwen2-0.5b": 24}
"""Layers of the models that the old config was written for; layer 31 of 32 does not exist in any of them."""


def is_old(tree: Mapping[str, object]) -> bool:
    """Whether a config file is one of the old script."""
    return any(section in tree for section in SECTIONS) and "model" not in tree


def translated(tree: Mapping[str, object]) -> tuple[dict[str, object], list[str]]:
    """Return an old config as a new one, and a sentence for each change.

    Sections of the new config that stand beside the old ones are kept as they are.
    """
    work = Translation()
    for section, content in tree.items():
        if section not in SECTIONS:
            work.sections[section] = content
        elif content is not None and not isinstance(content, Mapping):
            work.changes.append(f"{section}: is {content!r}, no section; it is left out.")
        else:
            TRANSLATORS[section](work, {str(key): value for key, value in (content or {}).items()})
    _name_missing_layers(work)
    _finish(work)
    return work.sections, work.changes


def _name_missing_layers(work: Translation) -> None:
    """Say which of the layers that the old config names the model does not have."""
    name = str(work.section("model").get("path", "")).lower()
    if not work.section("model"):
        del work.sections["model"]
    number = next((layers for part, layers in _KNOWN_LAYERS.items() if part in name), None)
    if number is None:
        if work.layers:
            work.changes.append(
                f"Layers up to {max(work.layers)} were named; those that the model does not have are "
                f"nowhere needed, since its own number of layers is read from it."
            )
        return
    beyond = sorted({layer for layer in work.layers if layer >= number})
    if beyond:
        work.changes.append(
            f"Layer(s) {', '.join(map(str, beyond))} do not exist: this model has {number} layers, 0 to {number - 1}."
        )


def _finish(work: Translation) -> None:
    """Say what holds for the whole config, and drop sections that hold nothing."""
    if "correction" not in work.section("analysis"):
        work.changes.append(
            "Correction for multiple tests is now applied: analysis.correction: fdr_bh over all "
            "heads and statistics (the old script named p-values without any)."
        )
    if not work.section("analysis"):
        del work.sections["analysis"]
    if work.sections.get("vocabulary"):
        work.sections.setdefault("statistics", {"random_groups": 20})
    if not work.sections.get("statistics", True):
        del work.sections["statistics"]
