"""Classify pictures with ONNX Runtime, preprocessed as the model requires.

The facts of a model describe its preprocessing, so one program serves files of both layouts. It
needs `preprocessing.py` next to it; install the packages with::

    pip install . onnxruntime pillow

and run, say::

    python classify.py cat.jpg dog.png
    python classify.py --request "onnx from-tf" cat.jpg       # the same, channels last
    python classify.py --labels imagenet_classes.txt cat.jpg  # one name a line, class 0 first

Each line of the result has the picture, the rank, the class from 0 to 999 and the score; the first
line names these columns.
"""
# ruff: noqa: T201 - a program that prints

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

try:
    import numpy as np
    import onnxruntime
    from PIL import Image, UnidentifiedImageError
    from preprocessing import batch, prepare

    from cmx_resnet50 import Model, Resnet50Error, Resnet50Warning, get
except ModuleNotFoundError as missing:
    if {"-h", "--help"}.isdisjoint(sys.argv):  # the help needs none of them
        sys.exit(f"{missing}. In the clone, run: pip install . onnxruntime pillow")

TOP = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Classify the pictures on the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE")
    parser.add_argument(
        "--request", default="onnx", help="an ONNX model, as for `get` (default: %(default)s)"
    )
    parser.add_argument("--labels", type=Path, metavar="FILE", help="names of classes, one a line")
    given = parser.parse_args(arguments)
    labels = given.labels.read_text(encoding="utf-8").splitlines() if given.labels else []
    try:
        with warnings.catch_warnings():
            # Printed below, without the line of Python that a warning shows.
            warnings.simplefilter("ignore", Resnet50Warning)
            model = get(given.request)
        for line in (*model.deviations, *model.notices):
            print(line, file=sys.stderr)
        classify = Classifier(model)
    except (Resnet50Error, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print("picture  rank  class  score" + "  name" * bool(labels))
    failed = 0
    for path in given.pictures:
        try:
            with Image.open(path) as picture:
                best = classify(picture)
        except (OSError, UnidentifiedImageError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            failed = 1
            continue
        for rank, (number, score) in enumerate(best, 1):
            name = labels[number] if 0 <= number < len(labels) else ""
            print(f"{path}  {rank}  {number:4}  {score:.4f}  {name}".rstrip())
    return failed


class Classifier:
    """A session on one model.

    Parameters
    ----------
    model : Model
        An ONNX model whose preprocessing is known, and which takes one picture at a time.

    Raises
    ------
    ValueError
        If it is another model.
    """

    def __init__(self, model: Model) -> None:
        if model.format != "onnx" or model.preprocessing is None:
            raise ValueError(
                f"{model.path} is not an ONNX model with known preprocessing. "
                "Name one with --request, such as onnx."
            )
        shape = model.inputs[0].shape
        if shape and isinstance(shape[0], int) and shape[0] != 1:
            raise ValueError(
                f"{model.path} takes {shape[0]} pictures at a time, and this program "
                "gives it one. Leave batch_size out of --request."
            )
        self._how = model.preprocessing
        self._layout = model.layout
        self._input = model.inputs[0].name
        # A model may also have an output with the class itself, of an integer type.
        self._scores = next(t.name for t in model.outputs if t.dtype == "float32")
        self._session = onnxruntime.InferenceSession(str(model.path))

    def __call__(self, picture: Image.Image, top: int = TOP) -> list[tuple[int, float]]:
        """Return the best classes, from 0 to 999, with their scores; -1 is the background."""
        pixels = batch([prepare(picture, self._how)], self._layout)
        (scores,) = self._session.run([self._scores], {self._input: pixels})
        best = np.argsort(-scores[0], kind="stable")[:top]
        offset = self._how.label_offset or 0
        return [(int(index) + offset, float(scores[0][index])) for index in best]


if __name__ == "__main__":
    sys.exit(main())
