"""The same as `speechtl transcribe`; see `--help`."""

import sys

from speechtl.cli import main

if __name__ == "__main__":
    sys.exit(main(command="transcribe", program="transcribe.py"))
