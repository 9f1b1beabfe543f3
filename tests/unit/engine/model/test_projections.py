"""What projections multiply by, asked of those whose weights do not say it."""

from __future__ import annotations

import torch
from torch import nn

from engine.model.projections import holds_columns, projection_columns


class Scaled(nn.Linear):
    """Multiplies by more than its weight, as adapters and quantised layers do."""

    def forward(self, given):
        return 3 * super().forward(given)


def test_a_projection_that_is_asked_is_not_seen_by_who_watches_the_forward():
    projection, seen = Scaled(5, 4), []
    projection.register_forward_hook(lambda *_: seen.append(1))
    columns = projection_columns(projection)
    assert columns is not None and not holds_columns(projection) and not seen
    torch.testing.assert_close(columns, 3 * projection.weight)
