"""The names of TensorFlow's official ResNet-50, which the files converted from it keep."""

from __future__ import annotations

from collections import Counter

SCOPE = "resnet_model"


def numbered(name: str, index: int) -> str:
    """Return `name` in the model's scope; TensorFlow numbers equal names from the second on."""
    return f"{SCOPE}/{name}_{index}" if index else f"{SCOPE}/{name}"


class Names:
    """Gives each kind of layer its next name."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def next(self, name: str) -> str:
        """Return `name` in the model's scope with the number that is next for it."""
        self._counts[name] += 1
        return numbered(name, self._counts[name] - 1)
