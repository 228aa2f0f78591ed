"""The same as `speechtl data prepare`; see `--help`."""

import sys

from speechtl.cli import main

if __name__ == "__main__":
    sys.exit(main(command="data prepare", program="prepare.py"))
