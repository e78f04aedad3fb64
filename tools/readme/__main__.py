"""``python -m tools.readme``: write the generated pages of this checkout."""

from __future__ import annotations

from pathlib import Path

from cmx_resnet50.catalog.table import Catalog
from tools.readme import choose, reference, render
from tools.readme.index import description

ROOT = Path(__file__).resolve().parents[2]

meta = Catalog.load(ROOT / "_cm.json").meta
pages = {
    "README.md": render(meta),
    "README-index.md": description(meta),
    "docs/reference.md": reference(meta),
    "docs/choose.md": choose.render(meta),
}
for page, text in pages.items():
    (ROOT / page).write_text(text, encoding="utf-8")
