"""Hugging Face data sets: from the hub, or from a folder that was saved or downloaded before.

Audio stays encoded in the data set and is decoded with soundfile like every other recording, so
torchcodec and FFmpeg are not needed. The encoded bytes are written once to a cache folder, each
under the hash of its content.

Of two accent corpora the licence is known: `ylacombe/english_dialects` (OpenSLR 83, British Isles)
and `edinburghcstr/edacc` (EdAcc). Any other data set loads too if its columns can be told apart.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from speechtl.audio import AUDIO_SUFFIXES
from speechtl.corpus import Corpus, Utterance
from speechtl.errors import DataError
from speechtl.files import replacing

__all__ = ["CACHE", "load"]

CACHE = Path("~/.cache/speechtl/corpora")

_COLUMNS = {
    "audio": ("audio",),
    "text": ("text", "sentence", "transcription", "transcript"),
    "speaker": ("speaker", "speaker_id", "client_id"),
    "accent": ("accent", "accents", "dialect"),
    "id": ("id", "utterance_id", "line_id", "segment_id"),
}
_NEEDED = ("audio", "text", "speaker")
_SPLITS = {
    "train": "train",
    "training": "train",
    "dev": "dev",
    "valid": "dev",
    "validation": "dev",
    "test": "test",
}
_LICENCES = {
    "ylacombe/english_dialects": "CC-BY-SA-4.0",
    "edinburghcstr/edacc": "CC-BY-SA-4.0",
}
_MAGIC = {b"RIFF": ".wav", b"fLaC": ".flac", b"OggS": ".ogg", b"ID3": ".mp3", b"\xff\xfb": ".mp3"}
_SAVED = ("state.json", "dataset_dict.json")  # what save_to_disk leaves in its folder
_LISTED = 10

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Part:
    """One split of one configuration; both may be nameless."""

    config: str | None
    split: str | None
    rows: Any  # a datasets.Dataset, whose package has no types


def load(
    source: str,
    configs: Sequence[str] = (),
    *,
    fields: Mapping[str, str] | None = None,
    accent: str | None = None,
    licence: str | None = None,
    cache: Path = CACHE,
) -> Corpus:
    """Return a Hugging Face data set as a corpus.

    A data set whose only split is `train` is taken as not split at all. Rows without a transcript
    or without audio are left out; their count and the first of them are logged as a warning.

    Args:
        source: A hub id such as `ylacombe/english_dialects`, a folder made by `save_to_disk`, or a
            folder of Parquet files; for a folder of audio files write a manifest instead.
        configs: The configurations to load, all into one corpus; none for the only or the default
            one. For a folder they may be its subfolders.
        fields: Column names for `audio`, `text`, `speaker`, `accent` or `id`, where they are
            unusual.
        accent: The accent of rows that name none; if `None`, the configuration's name without
            `_female` or `_male`.
        licence: The licence of the recordings; if `None`, what is known of the data set.
        cache: The folder under which audio files are kept, in a folder for each data set.

    Raises:
        DataError: The data set cannot be reached or read, a column is missing, a row has no speaker
            or accent, or no row is usable.
        OutputError: The cache cannot be written.
    """
    name = hashlib.sha256(repr((source, tuple(configs))).encode()).hexdigest()[:16]
    folder = cache.expanduser().resolve() / name
    found: dict[str, Utterance] = {}
    skipped: list[str] = []
    for config in configs or (None,):
        for part in _parts(source, config):
            columns = _columns(part.rows.column_names, source, fields or {})
            known = licence or _LICENCES.get(source) or part.rows.info.license or None
            for label, row in _labelled_rows(part, columns["audio"]):
                if not _text(row, columns, "text") or not _has_audio(row[columns["audio"]]):
                    skipped.append(label)
                    continue
                utterance = _utterance(part, label, row, columns, accent)
                audio = _stored(row[columns["audio"]], folder)
                found[label] = replace(utterance, audio=audio, licence=known)
    _tell(source, skipped, used=len(found))
    return Corpus(_with_unique_ids(found))


def _parts(source: str, config: str | None) -> list[_Part]:
    """Return the splits of one configuration, with audio left encoded later on."""
    # Importing datasets takes about a second, which every other use of this module's package would
    # pay.
    import datasets  # noqa: PLC0415

    place = Path(source).expanduser()
    name = config
    if config is not None and (place / config).is_dir():
        place, name = place / config, None
    try:
        if any((place / mark).is_file() for mark in _SAVED):
            loaded = datasets.load_from_disk(str(place))
        else:
            loaded = datasets.load_dataset(str(place) if place.is_dir() else source, name)
    except Exception as error:
        # The hub's client, its transport and the readers of files each raise kinds of their own.
        raise DataError(_unreachable(source, config, error)) from error
    if not isinstance(loaded, datasets.DatasetDict):
        return [_Part(config, None, loaded)]
    if list(loaded) == ["train"]:
        return [_Part(config, None, loaded["train"])]
    return [_Part(config, split, rows) for split, rows in loaded.items()]


def _unreachable(source: str, config: str | None, error: Exception) -> str:
    chosen = f" (configuration {config!r})" if config else ""
    # The library's "An error occurred" keeps what happened to its cause.
    told = [each for each in (error, error.__cause__) if each is not None]
    reason = ": ".join(str(each).strip().split("\n")[0] or type(each).__name__ for each in told)
    return (
        f"the data set {source!r}{chosen} cannot be loaded: {reason}. Without the hub, give a"
        " local folder instead: where there is a network, run"
        " `load_dataset(...).save_to_disk(FOLDER)`, copy the folder here and name it `hf:FOLDER`;"
        " or use the corpus `starter`, which comes with speechtl"
    )


def _columns(present: Sequence[str], source: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return the column of each field that has one; given names come before guessed ones."""
    unknown = sorted(set(given) - set(_COLUMNS))
    if unknown:
        raise DataError(f"unknown fields {', '.join(unknown)}; they are {', '.join(_COLUMNS)}")
    found: dict[str, str] = {}
    faults = []
    for field, names in _COLUMNS.items():
        wanted = (given[field],) if field in given else names
        column = next((name for name in wanted if name in present), None)
        if column is not None:
            found[field] = column
        elif field in _NEEDED or field in given:
            faults.append(f"{field}: looked for a column named {' or '.join(wanted)}")
    if faults:
        raise DataError(
            f"the data set {source!r} has the columns {', '.join(present)}; name the ones that are"
            " missing with `fields` of speechtl.corpora.huggingface.load, or rename them",
            faults=tuple(faults),
        )
    return found


def _labelled_rows(part: _Part, audio: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return each row, its audio still encoded, with a label that says where it is."""
    import datasets  # noqa: PLC0415  (as in _parts)

    prefix = "-".join(name for name in (part.config, part.split) if name) or "row"
    classes = {
        column: feature.int2str
        for column, feature in part.rows.features.items()
        if isinstance(feature, datasets.ClassLabel)
    }
    for index, row in enumerate(part.rows.cast_column(audio, datasets.Audio(decode=False))):
        names = {
            column: name_of(row[column])
            for column, name_of in classes.items()
            if row[column] is not None
        }
        yield f"{prefix}-{index:06d}", row | names


def _utterance(
    part: _Part, label: str, row: Mapping[str, Any], columns: Mapping[str, str], accent: str | None
) -> Utterance:
    """Return the utterance of a row, its audio not yet in place."""
    named = (part.config or "").removesuffix("_female").removesuffix("_male")
    spoken = _text(row, columns, "accent") or accent or named
    speaker = _text(row, columns, "speaker")
    if not spoken:
        raise DataError(
            f"{label}: names no accent; add a column `accent` to the data set, name a"
            " configuration, or give `accent` to speechtl.corpora.huggingface.load"
        )
    if not speaker:
        raise DataError(
            f"{label}: names no speaker, and splits must share none; fill in the column"
        )
    return Utterance(
        id=_text(row, columns, "id") or label,
        audio=Path(),
        text=_text(row, columns, "text"),
        speaker=speaker,
        accent=spoken,
        # "train.clean.100" and "validation_other" are parts of train and of validation.
        split=_SPLITS.get(re.split(r"[._-]", part.split or "")[0]),
    )


def _text(row: Mapping[str, Any], columns: Mapping[str, str], field: str) -> str:
    value = row[columns[field]] if field in columns else None
    return "" if value is None else str(value).strip()


def _has_audio(content: Mapping[str, Any] | None) -> bool:
    return bool(
        content and (content["bytes"] or (content["path"] and Path(content["path"]).is_file()))
    )


def _stored(content: Mapping[str, Any], folder: Path) -> Path:
    """Return the file of a row's audio, which is written if the data set holds its bytes."""
    encoded: bytes | None = content["bytes"]
    if not encoded:
        return Path(content["path"]).resolve()
    suffix = Path(content["path"] or "").suffix.lower()
    if suffix not in AUDIO_SUFFIXES:
        suffix = next((kind for magic, kind in _MAGIC.items() if encoded.startswith(magic)), ".wav")
    path = folder / f"{hashlib.sha256(encoded).hexdigest()}{suffix}"
    if not path.is_file():
        with replacing(path) as partial:
            partial.write_bytes(encoded)
    return path


def _tell(source: str, skipped: Sequence[str], *, used: int) -> None:
    """Refuse a data set with no usable row, and log which rows were left out of another."""
    if not used:
        raise DataError(
            f"the data set {source!r} has no row with audio and a transcript; choose another"
        )
    if skipped:
        more = f" and {len(skipped) - _LISTED} more" if len(skipped) > _LISTED else ""
        _log.warning(
            "%s: %d of %d rows have no transcript or no audio and were left out: %s%s",
            source,
            len(skipped),
            len(skipped) + used,
            ", ".join(skipped[:_LISTED]),
            more,
        )


def _with_unique_ids(utterances: Mapping[str, Utterance]) -> Iterator[Utterance]:
    """Return the utterances under unique ids: their own, else with the speaker, else their labels.

    In corpora of read speech the id is often the sentence's, which all speakers share.
    """
    own = {label: each.id for label, each in utterances.items()}
    spoken = {label: f"{each.speaker}-{each.id}" for label, each in utterances.items()}
    ids = next((ids for ids in (own, spoken) if len(set(ids.values())) == len(ids)), None)
    for label, utterance in utterances.items():
        yield replace(utterance, id=ids[label] if ids else label)
