"""docs/races.md: every command in it is run, in the order of a reader who knows the hint."""

from __future__ import annotations

import json
from pathlib import Path

from tests.docs import pages
from tests.docs.reader import follow
from tests.harness.artifacts import delivered
from tests.harness.cm import CM
from tests.harness.origin import Origin

PAGE = pages.ROOT / "docs" / "races.md"
NAME = "onnx-opset-11"


def test_commands(cm: CM, origin: Origin, served: dict[str, Path]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    eight, first, safe = pages.blocks(text, "bash")
    said = follow(cm, [first, eight, safe])
    assert said.count("\nResNet-50: ") + said.startswith("ResNet-50: ") == 8, said
    got = [json.loads(path.read_text()) for path in cm.cwd.glob("model-*.json")]
    assert len(got) == 4
    for model in got:
        path = Path(model["exports"]["CM_ML_MODEL_FILE_WITH_PATH"])
        assert path.read_bytes() == delivered(served[NAME])
    assert origin.bytes_sent() == served[NAME].stat().st_size
