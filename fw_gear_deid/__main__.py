"""``python -m fw_gear_deid`` is the command line."""

import sys

from fw_gear_deid.cli import main

sys.exit(main())
