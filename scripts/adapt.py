"""The same as `speechtl adapt`; see `--help`."""

import sys

from speechtl.cli import main

if __name__ == "__main__":
    sys.exit(main(command="adapt", program="adapt.py"))
