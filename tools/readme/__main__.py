"""``python -m tools.readme``: write README.md and docs/choose.md of this checkout."""

from __future__ import annotations

from pathlib import Path

from cmx_resnet50.catalog.table import Catalog
from tools.readme import choose, render

ROOT = Path(__file__).resolve().parents[2]

meta = Catalog.load(ROOT / "_cm.json").meta
for page, text in (("README.md", render(meta)), ("docs/choose.md", choose.render(meta))):
    (ROOT / page).write_text(text, encoding="utf-8")
