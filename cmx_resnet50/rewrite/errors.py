"""The error of this room, apart so that both its halves can import it."""

from __future__ import annotations

from cmx_resnet50.errors import Resnet50Error


class ReshapeError(Resnet50Error):
    """A model that cannot be given the batch size asked for; the text says why."""
