"""What a cache hit costs CM: no module that CM does not import itself."""

from __future__ import annotations

import pytest

from tests.harness.cm import CM


def imported(cm: CM, tags: str) -> set[str]:
    """Return the modules of a process that runs one request."""
    code = f"{cm.calling(tags)}; import sys; print('MODULES', *sys.modules)"
    done = cm.command("python", "-c", code)
    assert done.ok, done.text
    return set(done.out.rpartition("MODULES ")[2].split())


@pytest.mark.unmeasured
def test_a_hit_imports_the_receipt_and_nothing_that_cm_does_not(cm: CM) -> None:
    assert cm.get("pytorch").ok
    # Another script, which makes CM import what running takes.
    more = imported(cm, "get,ml-model,resnet50,_pytorch") - imported(cm, "detect,os")
    ours = {name for name in more if name.partition(".")[0] == "cmx_resnet50"}
    assert {name.rpartition(".")[2] for name in ours} == {
        "cmx_resnet50",
        "cached_run",
        "hook_copies",
        "receipt",
        "run_lock",
        "stat_check",
    }
    assert more - ours <= {"__future__"}
