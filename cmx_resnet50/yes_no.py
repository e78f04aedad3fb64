"""The one reading of yes and no. It imports nothing: a cached run may have to read ``--silent``."""

from __future__ import annotations

_YES = frozenset({"yes", "true", "on", "1"})
_NO = frozenset({"no", "false", "off", "0", ""})


def yes_no(value: object) -> bool | None:
    """Return whether `value`, a text or what JSON has for it, means yes; None if neither."""
    text = "" if value is None else str(value).strip().lower()
    return True if text in _YES else False if text in _NO else None
