"""What the engine copies for each hook of ours."""

from __future__ import annotations

from pathlib import Path

from tests.harness.cm import CM

COUNT = """
import copy, os
real = copy.deepcopy
def deepcopy(thing, *rest):
    if isinstance(thing, dict) and "automation" in thing and "resnet50" in thing["script_tags"]:
        with open(os.environ["COPIES"], "a", encoding="utf-8") as file:
            print(thing["automation"] is not None, thing["artifact"] is not None, file=file)
    return real(thing, *rest)
copy.deepcopy = deepcopy
"""


def test_the_last_hook_costs_no_copy_of_the_index(cm: CM, tmp_path: Path) -> None:
    """The engine makes the input of predeps and of preprocess itself, and copies all of it."""
    (tmp_path / "sitecustomize.py").write_text(COUNT)
    copies = tmp_path / "copies"
    done = cm.get("pytorch", env={"PYTHONPATH": str(tmp_path), "COPIES": str(copies)})
    assert done.ok, done.text
    assert copies.read_text().splitlines() == ["True True", "True True", "False False"]
