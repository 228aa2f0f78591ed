"""The starter corpus: synthetic accents of English that come with the package.

Where from: made for speechtl by speech synthesis, see `scripts/starter`. Accents: `scottish`,
`lancashire`, `west_midlands`, `caribbean` and `general`, the one that the starter models know.
Splits: train, dev and test, which share no speaker. The licence is in each row of its manifest.

It shows that a pipeline works, in minutes and without a network; its error rates say nothing about
people who speak these accents.
"""

from __future__ import annotations

from pathlib import Path

from speechtl.corpus import Corpus
from speechtl.errors import DataError
from speechtl.manifest import read_manifest

__all__ = ["ROOT", "load"]

ROOT = Path(__file__).resolve().parents[1] / "starter" / "corpus"


def load() -> Corpus:
    """Return the starter corpus.

    Raises:
        DataError: The package was installed without it, or its files were changed.
    """
    manifest = ROOT / "manifest.jsonl"
    if not manifest.is_file():
        raise DataError(
            f"{manifest}: the starter corpus is not there; install speechtl again, or build it in a"
            " checkout as scripts/starter describes"
        )
    return read_manifest(manifest)
