"""The error of all rewriters, in a module that each of them can import."""

from __future__ import annotations

from cmx_resnet50.errors import Resnet50Error


class ReshapeError(Resnet50Error):
    """A model that cannot be given the requested batch size; the text says why."""
