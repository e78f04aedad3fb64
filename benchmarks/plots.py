"""Draws the results as SVG: ``plots.py RESULTS``, in an interpreter that has matplotlib.

The same results give the same bytes: no date, no random names.
"""

# mypy: ignore-errors
from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

plt.switch_backend("svg")
plt.rcParams.update(
    {
        "svg.hashsalt": "benchmarks",
        "svg.fonttype": "none",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.3,
        "legend.frameon": False,
    }
)

_WIDEST = 3
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")


def grown(plot: dict, folder: Path) -> None:
    """Draw how a cost grows: medians as a line, ranges as a band."""
    figure, axes = plt.subplots(figsize=(5.6, 3.4))
    for curve, colour in zip(plot["curves"], _COLOURS, strict=False):
        axes.plot(curve["x"], curve["median"], marker="o", ms=4, color=colour, label=curve["name"])
        axes.fill_between(curve["x"], curve["low"], curve["high"], color=colour, alpha=0.2, lw=0)
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    axes.set(xscale="log", yscale="log", xlabel=plot["x"], ylabel=plot["y"])
    axes.set_title(plot["title"], fontsize=9)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(plain)
        axis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.minorticks_off()
    axes.set_xticks(plot["curves"][0]["x"])
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    _save(figure, folder / f"{plot['file']}.svg")


def goals(found: dict[str, dict], folder: Path) -> None:
    """Draw each figure with a goal as a share of that goal: left of 1 it is met."""
    rows = [
        (f"{name}: {one['ours']} / {one['peer']}", one["found"] / one["goal"])
        for name, result in found.items()
        for one in result.get("comparisons", ())
        if one["goal"]
    ]
    if not rows:
        return
    figure, axes = plt.subplots(figsize=(7.2, 0.6 + 0.22 * len(rows)))
    values = [min(value, _WIDEST) for _, value in rows]
    colours = [_COLOURS[0] if value <= 1 else _COLOURS[1] for value in values]
    axes.barh(range(len(rows)), values, color=colours, height=0.7)
    axes.axvline(1, color="black", lw=1)
    axes.set_yticks(range(len(rows)), [label for label, _ in rows], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel(f"found / goal: up to 1 the goal is met; cut at {_WIDEST}")
    axes.set_xlim(0, _WIDEST)
    axes.grid(axis="y", visible=False)
    _save(figure, folder / "goals.svg")


def _save(figure, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    plt.close(figure)


def main() -> None:
    """Draw all that is in the folder of results, in the order of the names."""
    folder = Path(sys.argv[1])
    found = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("*.json"))
    }
    goals(found, folder)
    for result in found.values():
        for plot in result.get("plots", ()):
            grown(plot, folder)


if __name__ == "__main__":
    main()
