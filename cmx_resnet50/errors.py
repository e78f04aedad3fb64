"""The one base of every error that a user of this package is meant to read."""

from __future__ import annotations


class Resnet50Error(Exception):
    """An error whose text is complete: what was asked, what is wrong, what to do next."""
