"""Which statistics a model's kind leaves out, found in a plan: a model's parts are known without its weights."""

from __future__ import annotations

from engine.config import Config
from engine.errors import UnsupportedModelError
from engine.measuring.attribution import Attributor
from engine.measuring.fetching.copying import Copier
from engine.model.facts import read_config, unloaded
from engine.model.lent import lent_model
from engine.model.streams import unsummed

_HINT = " model.adapter.merge=true adds the adapter to the weights, beside which it is now."


def left_out(config: Config) -> list[str]:
    """Return a sentence for each statistic that is asked for and will be left out, all others being measured.

    A model that cannot be read, or whose code does not run without weights, leaves nothing out here: the replica that
    loads it says what it lacks.
    """
    statistics, settings, lent = config.statistics, config.model, lent_model()
    if statistics.attribution is None and not statistics.retrieval:
        return []
    try:
        stated = lent.model.config if lent else read_config(settings)
        model = lent.model if lent else unloaded(settings, stated)
    except Exception:  # transformers raises many types here
        return []
    known, sentences = unsummed(stated), []
    if statistics.attribution is not None:
        try:
            Attributor(model, statistics.attribution.top_tokens)
            why = f"model type {known.kind!r} {known.words}" if known else ""
        except UnsupportedModelError as error:
            why = str(error)
        if why:
            also = " (and statistics.contribution)" if statistics.contribution else ""
            hint = _HINT if settings.adapter is not None and not settings.adapter.merge else ""
            sentences.append(
                f"statistics.attribution{also} will be left out, all else is measured: {why}, so that its margin is "
                f"no sum of parts that are known. statistics.attribution=false says the same without this "
                f"warning.{hint}"
            )
    if statistics.retrieval:
        try:
            Copier(model)
        except UnsupportedModelError as error:
            sentences.append(f"statistics.retrieval will have no copy scores, all else is measured: {error}.")
    return sentences
