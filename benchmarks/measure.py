"""What is measured: contenders that take turns, their readings, and what is claimed of them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


class BenchmarkError(Exception):
    """A figure that cannot be had: a peer is missing or fails, or a result is wrong."""


@dataclass(frozen=True)
class Setting:
    """What a benchmark gets: a folder to work in, and how long it may take."""

    work: Path
    rounds: int
    quick: bool
    peers: Path
    """The folder of the peers' environments, see `benchmarks.peers`."""


@dataclass(frozen=True)
class Reading:
    """One measured value of one series."""

    series: str
    value: float
    unit: str = "s"


Contender = Callable[[], Sequence[Reading]]


@dataclass
class Series:
    """All readings of one kind, in the order of the rounds."""

    name: str
    unit: str
    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The middle of the values."""
        return statistics.median(self.values)


@dataclass(frozen=True)
class Comparison:
    """Our median against a peer's, and what it may be at most.

    `goal` bounds the ratio of the two, or with `difference` what ours may lie above the
    peer's, in the unit of the series. None stands for a figure that is told without a goal.
    """

    ours: str
    peer: str
    goal: float | None = None
    difference: bool = False


@dataclass(frozen=True)
class Curve:
    """One line of a plot: a median, a least and a greatest value at each x."""

    name: str
    x: list[float]
    median: list[float]
    low: list[float]
    high: list[float]


@dataclass(frozen=True)
class Plot:
    """How a cost grows; drawn as ``results/<file>.svg``. Both axes are logarithmic."""

    file: str
    title: str
    x: str
    y: str
    curves: list[Curve]


@dataclass
class Outcome:
    """What one benchmark found."""

    title: str
    series: dict[str, Series]
    comparisons: list[Comparison]
    notes: list[str] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    cells: dict[str, dict[str, str]] = field(default_factory=dict)
    """What happened, in words: by situation and contender."""

    def known(self, name: str, value: float, unit: str) -> None:
        """Add a computed reference, such as a floor, to compare with."""
        self.series[name] = Series(name, unit, [value])

    def plot(
        self, file: str, axes: tuple[str, str], points: Mapping[str, Mapping[float, str]]
    ) -> None:
        """Add a plot of series that were measured.

        Parameters
        ----------
        file : str
            The plot's name.
        axes : tuple of str
            What x and y are, with their units.
        points : mapping
            For each curve, the name of the series at each x.
        """
        curves = []
        for name, at in points.items():
            measured = [self.series[series] for series in at.values()]
            low, high = ([pick(one.values) for one in measured] for pick in (min, max))
            medians = [one.median for one in measured]
            curves.append(Curve(name, list(at), medians, low, high))
        self.plots.append(Plot(file, self.title, *axes, curves))

    def found(self, comparison: Comparison) -> float:
        """Return the ratio, or the difference."""
        ours, peer = self.series[comparison.ours], self.series[comparison.peer]
        if comparison.difference:
            return ours.median - peer.median
        return ours.median / peer.median

    def met(self, comparison: Comparison) -> bool | None:
        """Whether the goal is met; None where there is none."""
        if comparison.goal is None:
            return None
        return self.found(comparison) <= comparison.goal

    def as_json(self) -> dict[str, Any]:
        """Return everything, raw values included."""
        return {
            "title": self.title,
            "series": [{**asdict(one), "median": one.median} for one in self.series.values()],
            "comparisons": [
                {**asdict(one), "found": self.found(one), "met": self.met(one)}
                for one in self.comparisons
            ],
            "notes": self.notes,
            "plots": [asdict(one) for one in self.plots],
            "cells": self.cells,
        }


def interleave(
    contenders: Sequence[Contender], rounds: int, *, warm: bool = True
) -> dict[str, Series]:
    """Let all `contenders` take turns, `rounds` times; with `warm` once more before, uncounted.

    Turns make what else the machine does hit all of them alike.
    """
    found: dict[str, Series] = {}
    for turn in range(-1 if warm else 0, rounds):
        for contender in contenders:
            for reading in contender():
                series = found.setdefault(reading.series, Series(reading.series, reading.unit))
                if turn >= 0:
                    series.values.append(reading.value)
    return found
