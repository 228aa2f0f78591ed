"""Known corpora by name: the starter, Hugging Face data sets, or any manifest."""

from __future__ import annotations

from pathlib import Path

from speechtl.corpora import huggingface, starter
from speechtl.corpus import Corpus, read_manifest
from speechtl.errors import DataError

__all__ = ["load"]

_MANIFEST_SUFFIXES = (".jsonl", ".csv", ".tsv")


def load(name: str) -> Corpus:
    """Return the corpus of a name, as configurations and the command line give it.

    Args:
        name: `starter`; `hf:<hub id or local folder>`, with `:<config>+<config>` after it to load
            only these configurations of the data set; or the path of a `.jsonl`, `.csv` or `.tsv`
            manifest.

    Raises:
        DataError: The name is none of these, or the corpus cannot be read.
    """
    if name == "starter":
        return starter.load()
    if name.startswith("hf:"):
        source, configs = _source_and_configs(name.removeprefix("hf:"))
        return huggingface.load(source, configs)
    if Path(name).suffix.lower() in _MANIFEST_SUFFIXES:
        return read_manifest(Path(name))
    raise DataError(
        f"unknown corpus {name!r}; give 'starter' (comes with speechtl), 'hf:<hub id or local"
        " folder>' or 'hf:<hub id or local folder>:<config>+<config>' (a data set of Hugging Face's"
        " library), or the path of a"
        f" {', '.join(_MANIFEST_SUFFIXES)} manifest"
    )


def _source_and_configs(text: str) -> tuple[str, tuple[str, ...]]:
    # A folder's own name may hold a colon.
    if Path(text).expanduser().is_dir():
        return text, ()
    source, _, configs = text.partition(":")
    return source, tuple(config for config in configs.split("+") if config)
