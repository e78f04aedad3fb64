"""`tools.coverage_data`: what a killed process left is removed, the rest stays."""

from __future__ import annotations

from pathlib import Path

import coverage
import pytest

from tools import coverage_data


def test_only_what_cannot_be_read_is_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = tmp_path / "data.whole"
    data = coverage.CoverageData(str(whole))
    data.add_arcs({"module.py": [(line, line + 1) for line in range(2000)]})
    data.write()
    content = whole.read_bytes()
    (tmp_path / "data.empty").touch()
    (tmp_path / "data.cut").write_bytes(content[: len(content) // 2])
    (tmp_path / "data.garbled").write_bytes(content[:8192] + bytes(len(content) - 8192))
    assert coverage_data.main([str(tmp_path)]) == 0
    assert list(tmp_path.iterdir()) == [whole]
    assert capsys.readouterr().out.startswith("4 processes were measured; 3 were killed")
