"""The errors that a person can cause and mend.

Each message says what must hold, what was got, where, and what to do. The command line prints the
message alone and exits with `exit_code`; anything else that is raised is a fault of ours and keeps
its traceback.
"""

from __future__ import annotations

__all__ = ["ConfigError", "DataError", "ModelError", "OutputError", "SpeechtlError"]


class SpeechtlError(Exception):
    """The base of all errors that are the input's, not the program's."""

    exit_code = 1


class ConfigError(SpeechtlError, ValueError):
    """An option, a configuration file or a combination of options that cannot be run.

    It is a `ValueError` too, so that pydantic lists it with the other faults of a configuration.
    """

    exit_code = 2


class DataError(SpeechtlError):
    """Audio, transcripts or manifests that cannot be used.

    Attributes:
        faults: A line for each fault.
        kind: The kind of the one fault, a name in `speechtl.faults`, where it is known.
        finding: What was found, without the place and the remedy, where `kind` is known.
    """

    exit_code = 3

    def __init__(
        self,
        message: str,
        *,
        faults: tuple[str, ...] = (),
        kind: str | None = None,
        finding: str | None = None,
    ) -> None:
        super().__init__("\n  - ".join((message, *faults)))
        self.faults = faults
        self.kind = kind
        self.finding = finding


class ModelError(SpeechtlError):
    """A checkpoint that is missing, unreachable, unsafe or of no known family."""

    exit_code = 4


class OutputError(SpeechtlError):
    """A place that cannot be written: unwritable, already used, or full."""

    exit_code = 5
