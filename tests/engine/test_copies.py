"""What the engine copies for each hook of ours."""

from __future__ import annotations

from pathlib import Path

from tests.harness.cm import CM

COUNT = """
import copy, os
real = copy.deepcopy
def deepcopy(thing, *rest):
    made = real(thing, *rest)
    hook = isinstance(thing, dict) and "automation" in thing
    if hook and any("resnet50" in tag for tag in thing["script_tags"]):
        copied = [thing[name] is not made[name] for name in ("automation", "artifact")]
        with open(os.environ["COPIES"], "a", encoding="utf-8") as file:
            print(any(copied), file=file)
    return made
copy.deepcopy = deepcopy
"""


def test_no_hook_of_ours_costs_a_copy_of_the_index(cm: CM, tmp_path: Path) -> None:
    """Not in a cold run, and not on a hit."""
    (tmp_path / "sitecustomize.py").write_text(COUNT)
    copies = tmp_path / "copies"
    env = {"PYTHONPATH": str(tmp_path), "COPIES": str(copies)}
    assert cm.get("pytorch", env=env).ok
    assert copies.read_text() == "False\n" * 3
    copies.unlink()
    assert cm.get("pytorch", env=env).ok
    assert copies.read_text() == "False\n"
