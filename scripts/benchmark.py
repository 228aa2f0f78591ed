"""The same as `speechtl benchmark`; see `--help`."""

import sys

from speechtl.cli import main

if __name__ == "__main__":
    sys.exit(main(command="benchmark", program="benchmark.py"))
