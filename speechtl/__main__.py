"""`python -m speechtl`."""

import sys

from speechtl.cli import main

sys.exit(main(program="python -m speechtl"))
