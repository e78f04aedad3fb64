"""``_tensorflow,_fix-input-shape`` through the engine, and its result in TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from tests.dummy.shared import pixels
from tests.harness.artifacts import delivered
from tests.harness.cm import CM, Result
from tests.harness.origin import Origin
from tests.runtime import running

pytestmark = pytest.mark.runtime

SKIP = {"CM_RESNET50_SKIP_TENSORFLOW": "yes"}
DEPENDENCY = "get generic-python-lib _package.tensorflow"
INSTALLS = "-m pip install"


def holds(result: Result, batch: int) -> None:
    """Check the graph of `result` in TensorFlow against the one that it was made of."""
    original = Path(result.env["CM_ML_MODEL_STARTING_FILE_PATH"])
    assert result.path.name == original.name == "resnet50_v1.pb"
    assert result.path.parent != original.parent
    assert [path.name for path in result.path.parent.iterdir()] == ["resnet50_v1.pb"]
    with running.imported(result.path) as graph:
        entry = graph.get_tensor_by_name("input_tensor:0")
        assert entry.op.type == "Placeholder"
        assert entry.shape.as_list() == [batch, 224, 224, 3]
        assert graph.get_tensor_by_name("ArgMax:0").shape.as_list() == [batch]
        assert graph.get_tensor_by_name("softmax_tensor:0").shape.as_list() == [batch, 1001]
        for operation in graph.get_operations():
            assert all(end.shape.is_fully_defined() for end in operation.outputs), operation
    images = pixels(batch)
    argmax, scores = running.frozen(result.path, result.env, images)
    for index in range(batch):
        single = running.frozen(original, result.env, images[index : index + 1])
        assert argmax[index] == single[0][0]
        np.testing.assert_allclose(scores[index], single[1][0], rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="Cannot feed value of shape"):
        running.frozen(result.path, result.env, pixels(batch + 1))


@pytest.mark.parametrize(("names", "batch"), [((), 1), (("batch_size.3",), 3)])
def test_with_tensorflow_in_the_environment(
    user: CM,
    origin: Origin,
    served: dict[str, Path],
    names: tuple[str, ...],
    batch: int,
) -> None:
    running.tensorflow()
    result = user.get("tf", "fix-input-shape", *names, timeout=300)
    assert result.ok, result.text
    assert DEPENDENCY in result.err
    assert "run-fix-input.sh" in result.err
    assert f"Detected version: {metadata.version('tensorflow-cpu')}" in result.out
    assert INSTALLS not in result.text
    published = delivered(served["tensorflow"])
    assert Path(result.env["CM_ML_MODEL_STARTING_FILE_PATH"]).read_bytes() == published
    assert origin.bytes_sent() == len(published)
    holds(result, batch)
    again = user.get("tf", "fix-input-shape", *names)
    assert (again.code, again.env) == (0, result.env)
    assert origin.bytes_sent() == len(published)


def test_without_tensorflow_the_same_file(user: CM, cm: CM, served: dict[str, Path]) -> None:
    running.tensorflow()
    asked = ("tf", "fix-input-shape", "batch_size.3")
    result = cm.get(*asked, env=SKIP)
    assert result.ok, result.text
    assert DEPENDENCY not in result.err
    assert "run-fix-input.sh" in result.err
    original = Path(result.env["CM_ML_MODEL_STARTING_FILE_PATH"])
    assert original.read_bytes() == delivered(served["tensorflow"])
    holds(result, 3)
    with_tensorflow = user.get(*asked, timeout=300)
    assert with_tensorflow.ok, with_tensorflow.text
    assert with_tensorflow.path.read_bytes() == result.path.read_bytes()


def test_file_of_the_true_size(dummy: Callable[..., Result]) -> None:
    running.tensorflow()
    result = dummy("tf", "fix-input-shape", "batch_size.2")
    original = Path(result.env["CM_ML_MODEL_STARTING_FILE_PATH"])
    assert original.read_bytes() == dummy("tf").path.read_bytes()
    holds(result, 2)
