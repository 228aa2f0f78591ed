"""The same as `speechtl score`; see `--help`."""

import sys

from speechtl.cli import main

if __name__ == "__main__":
    sys.exit(main(command="score", program="score.py"))
