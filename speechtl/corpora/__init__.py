"""Corpora by name: the starter, those of the field, data sets of the hub, and any source."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from speechtl import sources
from speechtl.corpora import (
    afrispeech,
    cmu_arctic,
    coraal,
    edacc,
    huggingface,
    l2_arctic,
    librispeech,
    openslr83,
    speech_accent_archive,
    starter,
    svarah,
    vctk,
)
from speechtl.corpora.known import KnownCorpus, placed
from speechtl.corpus import Corpus
from speechtl.errors import ConfigError, DataError
from speechtl.faults import Fault
from speechtl.sources import Options, Reading, Row, tables

__all__ = [
    "KNOWN",
    "KnownCorpus",
    "available",
    "is_here",
    "load",
    "read",
    "root",
    "whereabouts",
]

_Rows = Callable[[Path, Options, list[str]], Iterator[Row | Fault]]

_ROWS: dict[str, tuple[KnownCorpus, _Rows]] = {
    corpus.name: (corpus, rows)
    for corpus, rows in (
        (openslr83.CORPUS, openslr83.rows),
        (edacc.CORPUS, edacc.rows),
        (vctk.CORPUS, vctk.rows),
        (l2_arctic.CORPUS, l2_arctic.rows),
        (cmu_arctic.CORPUS, cmu_arctic.rows),
        (afrispeech.CORPUS, afrispeech.rows),
        (svarah.CORPUS, svarah.rows),
        (speech_accent_archive.CORPUS, speech_accent_archive.rows),
        (coraal.CORPUS, coraal.rows),
        (librispeech.CORPUS, librispeech.rows),
    )
}

KNOWN: Mapping[str, KnownCorpus] = MappingProxyType({k: v[0] for k, v in _ROWS.items()})
"""The known corpora by name."""

_ROOT = Path("~/speechtl-corpora")
_ROOT_VARIABLE = "SPEECHTL_CORPORA"
_KINDS = {"srt": "subtitles", "vtt": "subtitles"}  # beside the kinds' own names


def load(name: str) -> Corpus:
    """Return the corpus of a name, as configurations and the command line give it.

    Args:
        name: `starter`; a known corpus such as `vctk`, with `:<folder>` after it where it does not
            lie in `root()`, or with `:<accent>+<accent>` to take only these accents; `hf:<hub id or
            local folder>`, with `:<config>+<config>` after it to load only these configurations;
            `<kind>:<path>` for a source of a kind of `speechtl.sources`; or the path of a source.

    Raises:
        DataError: The name is none of these, or the corpus cannot be read, or has a fault.
    """
    return read(name).require()


def read(name: str, options: Options | None = None, *, limit: int | None = None) -> Reading:
    """Return what a corpus holds, with its faults; `load` refuses one that has some.

    Args:
        name: As for `load`.
        options: What a source does not say itself.
        limit: How many utterances at most. Of a data set of the hub no more than these are fetched,
            and they are shared out evenly over its configurations and splits; of any other source
            they are the first ones.

    Raises:
        ConfigError: The limit is below 1.
        DataError: The name is none that `load` takes; the corpus is not here and cannot be fetched;
            or a data set of the hub has faults, all of which are listed.
    """
    if limit is not None and limit < 1:
        raise ConfigError(f"the limit must be 1 utterance or more, got {limit}")
    return _first(_read(name, options or Options(), limit), limit)


def _read(name: str, options: Options, limit: int | None) -> Reading:
    """Return what a corpus holds; `limit` is kept to where that saves fetching."""
    head, colon, rest = name.partition(":")
    if name == "starter":
        return _starter(options)
    if head == "hf" and colon:
        return _of_hub(name, *_source_and_configs(rest), options, limit=limit)
    if head in _ROWS:
        return _known(*_ROWS[head], rest, options, limit=limit)
    kind = _KINDS.get(head, head)
    if colon and kind in sources.KINDS:
        return sources.read(rest, kind, options)
    if _is_path(name) and (Path(name).expanduser().exists() or not _names_a_kind(head, colon)):
        return sources.read(name, None, options)
    raise DataError(_unknown(name))


def _first(reading: Reading, limit: int | None) -> Reading:
    """Return the first utterances of a reading; its faults, which tell of the source, all stay."""
    if limit is None or len(reading.corpus) <= limit:
        return reading
    return replace(
        reading,
        corpus=reading.corpus[:limit],
        places=reading.places[:limit],
        notes=(*reading.notes, f"the first {limit} of {len(reading.corpus)} utterances"),
    )


def root() -> Path:
    """Return the folder in which known corpora are looked for, each in a folder of its name.

    It is the variable `SPEECHTL_CORPORA`, else `~/speechtl-corpora`.
    """
    return Path(os.environ.get(_ROOT_VARIABLE) or _ROOT).expanduser()


def whereabouts(name: str) -> Path | None:
    """Return where a known corpus lies on this machine; None where it does not.

    That is its folder below `root()`, else that of the hub's cache, where it may lie in part.

    Raises:
        DataError: No corpus is known by this name.
    """
    if name == "starter":
        return starter.ROOT if starter.ROOT.is_dir() else None
    if name not in _ROWS:
        raise DataError(_unknown(name))
    corpus = KNOWN[name]
    return _local(corpus) or _in_hub_cache(corpus)


def is_here(name: str) -> bool:
    """Return whether a copy of a known corpus lies below `root()`; of other names, False."""
    head = name.partition(":")[0]
    return head in KNOWN and _local(KNOWN[head]) is not None


def available(*names: str) -> str:
    """Return the first of several names whose corpus is here or can be fetched; else the first.

    Args:
        names: As `load` takes them, one at least. A known corpus is looked for below `root()`, or
            can be fetched if the hub has it; any other name is taken for one that can be read.
    """
    for name in names:
        head = name.partition(":")[0]
        if head not in KNOWN or KNOWN[head].hub is not None or is_here(name):
            return name
    return names[0]


# --- known corpora --------------------------------------------------------------------------------


def _starter(options: Options) -> Reading:
    manifest = starter.ROOT / "manifest.jsonl"
    if not manifest.is_file():
        starter.load()  # which says how to have it
    reading = sources.read(manifest, "table", options)
    return replace(reading, source="starter", kind="known corpus")


def _known(
    corpus: KnownCorpus, rows: _Rows, rest: str, options: Options, *, limit: int | None
) -> Reading:
    """Return a known corpus of a folder, or of accents, or all of it, from where it lies."""
    folder, accents = _folder_or_accents(corpus, rest)
    if folder is None:
        folder = _local(corpus)
    if folder is None and corpus.hub is not None:
        if corpus is not svarah.CORPUS:
            return _fetched(corpus, accents, options, limit=limit)
        folder = svarah.fetched()
    if folder is None:
        raise DataError(
            f"{corpus.title} is not here: looked in {root() / corpus.name} (the variable "
            f"{_ROOT_VARIABLE} names another folder than {root()}). To have it: "
            f"{corpus.how_to_get}. Where it lies elsewhere, name it {corpus.name}:FOLDER"
        )
    notes: list[str] = []
    folder = (placed(corpus, folder) or folder).resolve()
    found = rows(folder, options, notes)
    return sources.build(
        _of_accents(found, accents) if accents else found,
        root=folder,
        source=f"{corpus.name}:{folder}",
        kind="known corpus",
        options=options,
        notes=notes,
    )


def _folder_or_accents(corpus: KnownCorpus, rest: str) -> tuple[Path | None, tuple[str, ...]]:
    accents = tuple(accent.strip().lower() for accent in rest.split("+") if accent.strip())
    unknown = [accent for accent in accents if corpus.accents and accent not in corpus.accents]
    if not unknown and not (accents and not corpus.accents and _is_path(rest)):
        return None, accents
    folder = Path(rest).expanduser()
    if folder.is_dir():
        return folder, ()
    if _is_path(rest):
        raise DataError(f"{corpus.name}: {rest} is no folder; check the path")
    raise DataError(
        f"{corpus.title} has no accent {', '.join(map(repr, unknown))}; "
        f"{_meant(unknown[0], corpus.accents)}it has {', '.join(corpus.accents)} (a folder is "
        "written with a slash, as ./NAME)"
    )


def _of_accents(rows: Iterator[Row | Fault], accents: tuple[str, ...]) -> Iterator[Row | Fault]:
    return (row for row in rows if isinstance(row, Fault) or row.values.get("accent") in accents)


def _local(corpus: KnownCorpus) -> Path | None:
    """Return the folder of a copy below `root()`: in its own folder, or as its archive unpacks."""
    for name in (corpus.name, *corpus.inside):
        place = placed(corpus, root() / name)
        if place is not None:
            return place
    return None


def _in_hub_cache(corpus: KnownCorpus) -> Path | None:
    """Return the folder that the hub's client keeps a data set in, where it holds something.

    The client is not imported, which takes a second: a list of corpora is not worth it.
    """
    if corpus.hub is None:
        return None
    home = os.environ.get("HF_HOME") or "~/.cache/huggingface"
    cache = os.environ.get("HF_HUB_CACHE") or f"{home}/hub"
    place = Path(cache).expanduser() / f"datasets--{corpus.hub.replace('/', '--')}"
    return place if any(place.glob("snapshots/*/**/*.parquet")) else None


def _fetched(
    corpus: KnownCorpus, accents: tuple[str, ...], options: Options, *, limit: int | None
) -> Reading:
    """Return a known corpus of the hub, of which only the configurations needed are fetched."""
    chosen = accents or tuple(corpus.configs)
    configs = tuple(config for accent in chosen for config in corpus.configs.get(accent, ()))
    name = f"hf:{corpus.hub}" + (f":{'+'.join(configs)}" if configs else "")
    options = replace(options, licence=options.licence or corpus.licence)
    # Where each accent has its configurations, no row of another accent comes.
    only = () if configs else accents
    reading = _of_hub(name, str(corpus.hub), configs, options, accents=only, limit=limit)
    if corpus is not edacc.CORPUS:
        return reading
    notes = list(reading.notes)
    found = edacc.adopted(reading.corpus, notes)
    if accents:
        found = found.where(accent=set(accents))
    return replace(reading, corpus=found, notes=tuple(notes))


# --- the hub, paths, and what is neither ----------------------------------------------------------


def _of_hub(
    name: str,
    source: str,
    configs: tuple[str, ...],
    options: Options,
    *,
    accents: tuple[str, ...] = (),
    limit: int | None = None,
) -> Reading:
    given: dict[str, Any] = {
        "accents": accents,
        "limit": limit,
        "streaming": limit is not None,
        "fields": dict(options.columns),
        "accent": options.accent,
        "speaker": options.speaker,
        "licence": options.licence,
    }
    if options.patterns or options.audio or options.tiers:
        raise ConfigError(
            f"{name}: --from-path, --audio and --tier say nothing of a data set of Hugging Face's "
            "library; name its columns with --column, or give --speaker and --accent"
        )
    faults: list[Fault] = []
    notes: list[str] = []
    if limit is not None:
        notes.append(f"{limit} utterances at most, shared out over configurations and splits")
    corpus = huggingface.load(
        source, configs, faults=faults, notes=notes, **{k: v for k, v in given.items() if v}
    )
    return Reading(source=name, kind="hub", corpus=corpus, faults=tuple(faults), notes=tuple(notes))


def _source_and_configs(text: str) -> tuple[str, tuple[str, ...]]:
    # A folder's own name may hold a colon.
    if Path(text).expanduser().is_dir():
        return text, ()
    source, _, configs = text.partition(":")
    return source, tuple(config for config in configs.split("+") if config)


def _is_path(name: str) -> bool:
    path = Path(name)
    known = {*tables.SUFFIXES, ".json", ".textgrid", ".eaf", ".srt", ".vtt"}
    return (
        "/" in name
        or os.sep in name
        or name.startswith((".", "~"))
        or path.suffix.lower() in known
        or path.exists()
    )


def _names_a_kind(head: str, colon: str) -> bool:
    """Return whether what stands before a path was meant for a kind."""
    # A single letter is a drive of Windows.
    return bool(colon) and head.replace("-", "").replace("_", "").isalnum() and len(head) > 1


def _meant(name: str, known: Mapping[str, object] | tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name.lower(), list(known), n=3)
    return f"did you mean {' or '.join(map(repr, close))}? " if close else ""


def _unknown(name: str) -> str:
    head = name.partition(":")[0]
    suggestion = _meant(head, ("starter", *KNOWN, *sources.KINDS, *_KINDS))
    return (
        f"unknown corpus {name!r}; {suggestion}give 'starter' (comes with speechtl), a known "
        f"corpus ({', '.join(KNOWN)}; with ':FOLDER' where it lies elsewhere than in {root()}), "
        "'hf:<hub id or local folder>' or 'hf:<hub id or local folder>:<config>+<config>' (a data "
        "set of Hugging Face's library), the path of a table (.jsonl, .csv, .tsv, .parquet) or a "
        f"folder, or '<kind>:<path>' with one of the kinds {', '.join(sources.KINDS)}"
    )
