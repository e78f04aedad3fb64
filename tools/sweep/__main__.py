"""``python -m tools.sweep [FOLDER ...]``."""

import sys

from tools.sweep.run import main

sys.exit(main(sys.argv[1:]))
