"""What all commands share: where they print, and options that each of them has."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

__all__ = ["EXIT_CODES", "HELP", "RUNNING", "Debug", "Quiet", "complain", "err", "out"]

# Results go to standard output, all that is said on the way to standard error.
out = Console()
err = Console(stderr=True)

EXIT_CODES = (
    "Exit codes: 0 done; 1 a fault of the program, or a benchmark with failed runs; 2 options or "
    "settings; 3 audio, transcripts or manifests; 4 the model; 5 the output folder; 6 a check with "
    "warnings alone; 130 Ctrl-C outside of training."
)

HELP = {"help_option_names": ["-h", "--help"]}

RUNNING = "Where it runs, and what it leaves"

Debug = Annotated[
    bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=RUNNING)
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print the result alone.", rich_help_panel=RUNNING),
]


def complain(message: str) -> None:
    """Print an error on standard error."""
    err.print(f"[bold red]error:[/] {escape(message)}", highlight=False, soft_wrap=True)
