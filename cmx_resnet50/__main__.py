"""``python -m cmx_resnet50`` is the command ``cmx-resnet50``."""

import sys

from cmx_resnet50.cli import main

sys.exit(main())
