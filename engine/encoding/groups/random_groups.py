"""Random key groups: which there are, what is counted for them, and how they are drawn once all texts are known."""

from __future__ import annotations

from collections.abc import Mapping

from engine.config import KeyGroup
from engine.encoding.groups.token_groups import TokenGroups
from engine.encoding.random_vocabulary import WordCensus
from engine.errors import ConfigError


def originals_of_random_groups(groups: TokenGroups, num_random: int) -> dict[str, str]:
    """Return which group each random group is like: those of the config, then ``random_<like>_<number>``.

    Parameters
    ----------
    groups
        The run's groups.
    num_random
        ``statistics.random_groups``.

    Raises
    ------
    ConfigError
        When random groups are wanted and no key group is a vocabulary.
    """
    originals = {name: group.random_like for name, group in groups.key_groups.items() if group.random_like}
    if num_random:
        like = next((name for name, group in groups.key_groups.items() if group.vocabulary), None)
        if like is None:
            raise ConfigError("statistics.random_groups: needs a key group that is a vocabulary; there is none.")
        originals.update({f"random_{like}_{number}": like for number in range(1, num_random + 1)})
    return originals


def empty_censuses(groups: TokenGroups, num_random: int) -> dict[str, WordCensus]:
    """Return an empty census for each key group that random groups are like; every sample's text goes into it."""
    likes = dict.fromkeys(originals_of_random_groups(groups, num_random).values())
    return {like: WordCensus(groups.terms[like]) for like in likes}


def with_random_groups(
    groups: TokenGroups, censuses: Mapping[str, WordCensus], *, num_random: int, seed: int
) -> TokenGroups:
    """Return the groups with every random group drawn from the censuses of all texts."""
    originals = originals_of_random_groups(groups, num_random)
    key_groups, vocabulary = dict(groups.key_groups), dict(groups.vocabulary)
    for like, census in censuses.items():
        names = [name for name, original in originals.items() if original == like]
        for name, words in zip(names, census.draw(len(names), seed), strict=True):
            vocabulary[name], key_groups[name] = words, KeyGroup(vocabulary=[name])
    return TokenGroups(vocabulary, key_groups, groups.query_groups)
