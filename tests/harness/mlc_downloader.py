"""MLC's ``download-and-extract`` for the tests: that of cmx4mlops, in MLC's form.

Both descend from one script. MLC's is in a git repository only, mlperf-automations; where
``MLPERF_AUTOMATIONS`` names a clone of that, its scripts are taken in place of these. Where
MLC's is given no file name, it asks the server for one, which goes into the shell: these fail.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.harness.build import Installation

SCRIPTS = ("detect-os", "download-and-extract", "download-file", "extract-file")
"""The downloader, and what it runs."""
_NO_NAME = "if env.get('MLC_DOWNLOAD_FILENAME', '') == '':"
_FAIL = " return {'return': 1, 'error': 'the server would name the file'}"
_REPOSITORY = "alias: downloader\nuid: 3b5e0f1c7a924d68\n"


def write(folder: Path, installation: Installation) -> None:
    """Write a repository for MLC with the scripts of the downloader."""
    (folder / "meta.yaml").write_text(_REPOSITORY, encoding="utf-8")
    clone = os.environ.get("MLPERF_AUTOMATIONS")
    for name in SCRIPTS:
        target = folder / "script" / name
        if clone:
            shutil.copytree(Path(clone) / "script" / name, target)
        else:
            target.mkdir(parents=True)
            source = installation.site_packages / "cmx4mlops" / "repo" / "script" / name
            for file in (*source.glob("_cm.*"), source / "customize.py", *source.glob("*.sh")):
                text = file.read_text(encoding="utf-8")
                text = text.replace("CM_", "MLC_").replace("from cmind import", "from mlc import")
                text = text.replace(_NO_NAME, _NO_NAME + _FAIL + "\n" + " " * 8 + "if False:")
                written = target / file.name.replace("_cm.", "meta.")
                written.write_text(text, encoding="utf-8")
                shutil.copymode(file, written)
