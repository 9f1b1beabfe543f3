"""The ids of a run's rows, and which of them stand for several."""

from __future__ import annotations


class SampleIds:
    """Ids seen so far, and those that stand for several rows."""

    def __init__(self) -> None:
        self._first: dict[str, int] = {}
        self.repeated: dict[str, list[int]] = {}

    def add(self, sample_id: str, number: int) -> None:
        """Note the id of a row."""
        first = self._first.setdefault(sample_id, number)
        if first != number:
            self.repeated.setdefault(sample_id, [first]).append(number)

    def unlike(self, sample_id: str, number: int) -> str:
        """Return an id that no other row has: rows that a filter leaves out may repeat the ids of others."""
        if sample_id in self._first:
            sample_id = f"{sample_id} (row {number})"
        self._first[sample_id] = number
        return sample_id
