"""What transformers' mask functions say about which keys a row sees, learnt from the functions themselves.

A model's forward asks for a mask once per kind of layer and hands it to every layer of that kind. The mask functions
registered here return no mask but a stand-in that says what was learnt: a window, chunks, or plain causality. It costs
no memory whatever the length. An argument of the attention call is no proof: windows may live in the mask alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Self

import torch
from transformers.masking_utils import sdpa_mask

from engine.attention.masking import Chunk, Window, first_visible_of, in_words
from engine.errors import UnsupportedModelError

MOST_ROWS = 64
"""Rows at which a mask function is asked."""

_AS_IT_IS = frozenset(("to", "__getitem__", "expand", "clone", "contiguous", "detach", "cuda", "cpu", "__get__"))
"""What may be done with a stand-in that leaves what it stands for as it is."""


class VisibleKeys(torch.Tensor):
    """Stands in for a mask ``[B, 1, n, m]``; of one element, however long the sequence.

    Attributes
    ----------
    window
        How far back rows see.
    fault
        Why it is not covered; empty where it is. A mask that no layer uses does no harm, so that layers say so.
    mask_rows
        Returns which keys some rows see, bool ``[B, 1, rows, m]``, as the mask function says.
    """

    window: Window
    fault: str
    mask_rows: Callable[[torch.Tensor], torch.Tensor] | None

    @classmethod
    def standing_for(
        cls,
        window: Window,
        shape: tuple[int, ...],
        device: torch.device | str,
        mask_rows: Callable[[torch.Tensor], torch.Tensor] | None = None,
        fault: str = "",
    ) -> Self:
        """Return a stand-in for a mask of a shape."""
        stand_in = torch.ones((), dtype=torch.bool, device=device).expand(shape).as_subclass(cls)
        stand_in.window, stand_in.fault, stand_in.mask_rows = window, fault, mask_rows
        return stand_in

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Let what was learnt follow copies and slices, and remember any other computation."""
        result = super().__torch_function__(func, types, args, kwargs or {})
        source = next((part for part in args if isinstance(part, VisibleKeys)), None)
        if not isinstance(result, VisibleKeys) or source is None:
            return result
        name = getattr(func, "__name__", str(func))
        result.window, result.mask_rows = getattr(source, "window", None), getattr(source, "mask_rows", None)
        touched = "" if name in _AS_IT_IS else f"computes with its mask ({name}), which is not covered"
        result.fault = getattr(source, "fault", "") or touched
        return result


def learnt_mask(
    *,
    batch_size: int,
    q_length: int,
    kv_length: int,
    mask_function: Callable[..., Any],
    q_offset: int = 0,
    kv_offset: int = 0,
    attention_mask: torch.Tensor | None = None,
    local_size: int | None = None,
    use_vmap: bool = False,
    device: torch.device | str = "cpu",
    config: Any = None,
    sequence: tuple[int, int] | None = None,
    **_options: Any,
) -> VisibleKeys:
    """Return a stand-in for the mask that a mask function describes.

    Parameters
    ----------
    sequence
        First position and length of the longest sequence of the packed row, at whose rows the function is asked; the
        whole row when None.

    Returns
    -------
    VisibleKeys
        With a fault when rows see later keys, or other keys than those of a window, a chunk or all before them.
    """
    has_numbers = torch.device(device).type != "meta"
    asked_on = device if has_numbers else torch.device("cpu")  # of a model without weights, the functions are there

    def mask_rows(rows: torch.Tensor) -> torch.Tensor:
        places = rows.to(asked_on) + q_offset

        def of_place(batch: torch.Tensor, head: torch.Tensor, row: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
            return mask_function(batch, head, places[row], key)

        seen = sdpa_mask(
            batch_size,
            len(rows),
            kv_length,
            kv_offset=kv_offset,
            mask_function=of_place,
            allow_is_causal_skip=False,
            use_vmap=use_vmap,
            device=asked_on,
        )
        assert seen is not None, "a mask that may not be skipped is there"
        return seen.expand(batch_size, 1, len(rows), kv_length)

    first, length = sequence or (0, q_length)
    chunk_size = getattr(config, "attention_chunk_size", None)
    sizes = [size for size in (local_size, chunk_size) if isinstance(size, int) and size > 0]
    rows = chosen_rows(length, sizes)
    seen = mask_rows(rows + first)[0, 0].cpu()
    shape = (batch_size, 1, q_length, kv_length)
    try:
        if attention_mask is not None and has_numbers and not bool(attention_mask.all()):
            raise UnsupportedModelError("hides some tokens as padding, which is not covered")
        window = _learnt(seen[:, first : first + length], rows, local_size, chunk_size)
    except UnsupportedModelError as error:
        return VisibleKeys.standing_for(None, shape, device, mask_rows, str(error))
    return VisibleKeys.standing_for(window, shape, device, mask_rows)


def chosen_rows(length: int, sizes: Iterable[int] = (), wanted: Iterable[int] = ()) -> torch.Tensor:
    """Return at most ``MOST_ROWS`` rows of a sequence, sorted: wanted, both ends, edges of windows, others by seed.

    Parameters
    ----------
    length
        Of the sequence.
    sizes
        Of windows and chunks.
    wanted
        Rows that must be among them.
    """
    rows = [*wanted, 0, length - 1]
    for size in sizes:
        last = (length - 1) // size * size
        rows += [size - 1, size, size + 1, last - 1, last, last + 1, 2 * size - 1, 2 * size]
    generator = torch.Generator().manual_seed(0)
    rows += torch.randperm(length, generator=generator)[:MOST_ROWS].tolist()
    inside = dict.fromkeys(row for row in rows if 0 <= row < length)
    return torch.tensor(sorted(list(inside)[:MOST_ROWS]))


def _learnt(seen: torch.Tensor, rows: torch.Tensor, local_size: int | None, chunk_size: int | None) -> Window:
    """Return the window that explains which keys some rows see, bool ``[rows, keys]``."""
    keys = torch.arange(seen.shape[1])
    if bool((seen & (keys[None] > rows[:, None])).any()):
        raise UnsupportedModelError("lets rows see keys after them (bidirectional attention), which is not covered")
    first = seen.int().argmax(dim=1)
    # The window that a row would need; the largest wins, since short rows of a window see everything.
    widths = rows - first + 1
    observed = int(widths.max()) if bool((first > 0).any()) else None
    candidates: list[Window] = [None, local_size, observed, None if chunk_size is None else Chunk(chunk_size)]
    for window in candidates if observed is not None else [None]:
        expected = (keys[None] >= first_visible_of(rows, window)[:, None]) & (keys[None] <= rows[:, None])
        if torch.equal(expected, seen):
            # A text shorter than its window cannot tell; the function's own argument can.
            return local_size if window is None and local_size is not None else window
    known = ", ".join(in_words(window) for window in dict.fromkeys(candidates[1:]) if window is not None)
    raise UnsupportedModelError(f"has a mask that is neither causal nor {known or 'a window'}, which is not covered")
