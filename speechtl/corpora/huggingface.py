"""Hugging Face data sets: from the hub, or from a folder that was saved or downloaded before.

Audio stays encoded in the data set and is decoded with soundfile like every other recording, so
torchcodec and FFmpeg are not needed. The encoded bytes are written once to a cache folder, each
under the hash of its content.

The hub is asked only for what is loaded: no telemetry, no download counts, and for a folder nothing
at all. What fails on the way and may pass is tried again, a few times; nothing waits for ever.

Of two accent corpora the licence is known: `ylacombe/english_dialects` (OpenSLR 83, British Isles)
and `edinburghcstr/edacc` (EdAcc). Any other data set loads too if its columns can be told apart.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from speechtl import hub
from speechtl.corpus import Corpus, Utterance
from speechtl.errors import ConfigError, DataError
from speechtl.faults import Fault, data_error
from speechtl.sources.tables import CACHE, stored

__all__ = ["CACHE", "load"]

_COLUMNS = {
    "audio": ("audio",),
    "text": ("text", "sentence", "transcription", "transcript"),
    "speaker": ("speaker", "speaker_id", "client_id"),
    "accent": ("accent", "accents", "dialect"),
    "sex": ("sex", "gender"),
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
_SEXES = {
    "f": "female",
    "woman": "female",
    "female_feminine": "female",  # Common Voice, since its version 17
    "m": "male",
    "man": "male",
    "male_masculine": "male",
}
_LICENCES = {
    "ylacombe/english_dialects": "CC-BY-SA-4.0",
    "edinburghcstr/edacc": "CC-BY-SA-4.0",
}
_SAVED = ("state.json", "dataset_dict.json")  # what save_to_disk leaves in its folder
_DATA = (".parquet", ".arrow")
_LISTED = 10

_OTHER_WAYS = (
    "Without the hub, give a local folder instead: where there is a network, run"
    " `load_dataset(...).save_to_disk(FOLDER)`, copy the folder here and name it `hf:FOLDER`;"
    " or use the corpus `starter`, which comes with speechtl"
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a data set is loaded from.

    Attributes:
        source: What was asked for.
        repository: Its name on the hub, or its folder, of one that lies here.
        commit: The hub's commit that is loaded; None where the hub does not say.
        silence: Why the hub does not say.
        met: The last trouble of the hub's client: the library of data sets hides what it was.
    """

    source: str
    repository: hub.Repository | Path
    commit: str | None = None
    silence: Exception | None = None
    met: hub.Met = field(default_factory=list)

    @property
    def place(self) -> Path | None:
        """The folder, of one that lies here; None is the hub."""
        return self.repository if isinstance(self.repository, Path) else None

    @property
    def path(self) -> str:
        """What the library of data sets calls it."""
        name = self.repository
        return str(name) if isinstance(name, Path) else name.id


@dataclass(frozen=True, slots=True)
class _Part:
    """One split of one configuration; both may be nameless."""

    config: str | None
    split: str | None
    rows: Any  # a datasets.Dataset or IterableDataset, whose package has no types


@dataclass(slots=True)
class _Reader:
    """Turns rows into utterances, and keeps what it leaves out and what is at fault.

    Attributes:
        origin: Where the rows come from.
        fields: Column names that were given.
        named: `accent`, `speaker` and `licence` of rows that name none.
        accents: The accents to take, in lower case; none for all.
        folder: Where audio is written.
        found: The utterances by the labels of their rows.
        skipped: The labels of rows without a transcript or without audio.
        faults: What is wrong with the other rows.
    """

    origin: _Origin
    fields: Mapping[str, str]
    named: Mapping[str, str | None]
    accents: Collection[str]
    folder: Path
    found: dict[str, Utterance] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def read(self, part: _Part, *, most: int | None) -> None:
        """Take the part's utterances, `most` at most, and write their audio as it comes."""
        columns = _columns(part, self.origin.source, self.fields, self.named)
        licence = self.named["licence"] or _LICENCES.get(self.origin.path)
        end = None if most is None else len(self.found) + most
        for label, row in self._guarded(part, columns["audio"]):
            content = row[columns["audio"]]
            if not _text(row, columns, "text") or not self._has_audio(content):
                self.skipped.append(label)
                continue
            utterance = self._utterance(part, label, row, columns)
            if utterance is not None and self._is_wanted(utterance):
                audio = self._stored(content)
                known = licence or part.rows.info.license or None
                self.found[label] = replace(utterance, audio=audio, licence=known)
            if len(self.found) == end:
                break
        _log.info("%s: %d utterances read", _name(self.origin.source, part.config), len(self.found))

    def _guarded(self, part: _Part, audio: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Return the labelled rows; what a library raises over the next one becomes our error."""
        rows = _labelled_rows(part, audio)
        while True:
            try:
                row = next(rows, None)
            except Exception as error:
                raise _failure(self.origin, part.config, error) from error
            if row is None:
                return
            yield row

    def _utterance(
        self, part: _Part, label: str, row: Mapping[str, Any], columns: Mapping[str, str]
    ) -> Utterance | None:
        """Return the utterance of a row, its audio not yet in place; None, and the faults kept."""
        place, _, sex = (part.config or "").rpartition("_")
        if sex not in ("female", "male"):
            place, sex = part.config or "", ""
        spoken = _text(row, columns, "accent") or self.named["accent"] or place
        speaker = _text(row, columns, "speaker") or self.named["speaker"]
        said = _text(row, columns, "sex").lower()
        where = f"{self.origin.source}:{label}"
        if not spoken:
            self.faults.append(Fault("accent-missing", where, "the row names no accent"))
        if not speaker:
            self.faults.append(Fault("speaker-missing", where, "the row names no speaker"))
        if not spoken or not speaker:
            return None
        return Utterance(
            id=_text(row, columns, "id") or label,
            audio=Path(),
            text=_text(row, columns, "text"),
            speaker=speaker,
            accent=spoken,
            # "train.clean.100" and "validation_other" are parts of train and of validation.
            split=_SPLITS.get(re.split(r"[._-]", part.split or "")[0]),
            sex=_SEXES.get(said, said) or sex or None,
        )

    def _is_wanted(self, utterance: Utterance) -> bool:
        return not self.accents or utterance.accent.lower() in self.accents

    def _has_audio(self, content: Mapping[str, Any] | None) -> bool:
        if not content or content["bytes"]:
            return bool(content)
        # What comes from the hub must bring its audio: its paths are another machine's.
        is_local = self.origin.place is not None
        return is_local and bool(content["path"]) and Path(content["path"]).is_file()

    def _stored(self, content: Mapping[str, Any]) -> Path:
        """Return the file of a row's audio, which is written if the data set holds its bytes."""
        encoded: bytes | None = content["bytes"]
        if not encoded:
            return Path(content["path"]).resolve()
        return stored(encoded, content["path"], self.folder)


def load(
    source: str,
    configs: Sequence[str] = (),
    *,
    fields: Mapping[str, str] | None = None,
    accent: str | None = None,
    speaker: str | None = None,
    licence: str | None = None,
    accents: Collection[str] = (),
    streaming: bool = False,
    limit: int | None = None,
    cache: Path = CACHE,
    faults: list[Fault] | None = None,
    notes: list[str] | None = None,
) -> Corpus:
    """Return a Hugging Face data set as a corpus.

    A data set whose only split is `train` is taken as not split at all. Rows without a transcript
    or without audio are left out; their count and the first of them are logged as a warning.

    Where the hub cannot be reached, a data set that was loaded before is taken from the library's
    cache, with a warning; of a pinned one only the very commit.

    Args:
        source: A hub id such as `ylacombe/english_dialects`, with `@` and a branch, a tag or a
            commit after it to pin it; a folder made by `save_to_disk`, or a folder of Parquet
            files. For a folder of audio files write a manifest instead.
        configs: The configurations to load, all into one corpus; none for the only or the default
            one. For a folder they may be its subfolders.
        fields: Column names for `audio`, `text`, `speaker`, `accent`, `sex` or `id`, where they are
            unusual.
        accent: The accent of rows that name none; if `None`, the configuration's name without
            `_female` or `_male`, which gives the sex of rows that name none.
        speaker: Who speaks rows that name none.
        licence: The licence of the recordings; if `None`, what is known of the data set.
        accents: The accents to take, whatever their case; none for all.
        streaming: Whether rows come one at a time, and no whole file is downloaded first. The
            corpus is the same.
        limit: How many utterances at most, shared out evenly over configurations and splits.
        cache: The folder under which audio files are kept, in a folder for each data set.
        faults: Gets what is wrong with rows, which are left out then; `None` refuses the data set.
        notes: Gets which rows were left out; `None` logs it.

    Raises:
        ConfigError: The limit is below 1.
        DataError: The data set cannot be reached or read, a configuration or a column is missing,
            rows have no speaker or accent, or no row is usable.
        OutputError: The cache cannot be written.
    """
    if limit is not None and limit < 1:
        raise ConfigError(f"the limit must be 1 utterance or more, got {limit}")
    name = hashlib.sha256(repr((source, tuple(configs))).encode()).hexdigest()[:16]
    is_local = Path(source).expanduser().is_dir()
    with _library(offline=is_local) as met:
        reader = _Reader(
            _origin(source, met),
            fields=fields or {},
            named={"accent": accent, "speaker": speaker, "licence": licence},
            accents={each.lower() for each in accents},
            folder=cache.expanduser().resolve() / name,
        )
        parts = [
            part
            for config in configs or (None,)
            for part in _parts(reader.origin, config, streaming=streaming)
        ]
        for index, part in enumerate(parts):
            left = None if limit is None else limit - len(reader.found)
            if left != 0:
                reader.read(part, most=None if left is None else -(-left // (len(parts) - index)))
    _tell(source, reader, faults, notes)
    return Corpus(_with_unique_ids(reader.found))


def _origin(source: str, met: hub.Met) -> _Origin:
    """Return where a data set is; the hub is asked for the commit."""
    place = Path(source).expanduser()
    if place.is_dir():
        # Resolved, because the library takes a folder called "parquet" for its own reader.
        return _Origin(source, place.resolve())
    repository = hub.parse("dataset", source)
    if repository is None or place.exists():
        raise DataError(
            f"{source!r} is no folder, nor the id of a data set on the hub (owner/name or"
            f" owner/name@revision); check the path. {_OTHER_WAYS}"
        )
    origin = _Origin(source, repository, met=met)
    try:
        commit, silence = hub.commit(repository)
    except Exception as error:
        # The hub's client and its transport each raise kinds of their own.
        raise _failure(origin, None, error) from error
    return replace(origin, commit=commit, silence=silence)


@contextmanager
def _library(*, offline: bool) -> Iterator[hub.Met]:
    """Open a session with the hub in which the library of data sets neither tells nor waits."""
    from datasets import config  # noqa: PLC0415  (as in _parts)

    wanted: list[tuple[Any, str, object]] = [
        # A request to Amazon for each data set that is loaded.
        (config, "HF_UPDATE_DOWNLOAD_COUNTS", False),
        # Each read of a streamed file is tried six times by the client, and that twenty times more.
        (config, "STREAMING_READ_MAX_RETRIES", 1),
        (config, "STREAMING_READ_RETRY_INTERVAL", 0),
        (config, "STREAMING_READ_SERVER_UNAVAILABLE_RETRY_INTERVAL", 0),
        (config, "STREAMING_READ_RATE_LIMIT_RETRY_INTERVAL", 0),
        (config, "STREAMING_OPEN_MAX_RETRIES", 2),
        (config, "STREAMING_OPEN_RETRY_INTERVAL", 1),
    ]
    if offline:
        wanted.append((config, "HF_HUB_OFFLINE", True))
    with hub.setting(*wanted), hub.session(offline=offline) as met:
        yield met


def _parts(origin: _Origin, config: str | None, *, streaming: bool) -> list[_Part]:
    """Return the splits of one configuration, with audio left encoded later on."""
    # Importing datasets takes about a second, which every other use of this module's package would
    # pay.
    import datasets  # noqa: PLC0415

    place, name = origin.place, config
    if place is not None and config is not None and (place / config).is_dir():
        place, name = place / config, None
    if place is not None and name is None:
        _require_one(origin, place)
    path = str(place or origin.path)
    options: dict[str, Any] = {"revision": origin.commit, "streaming": streaming}
    try:
        if place is not None and any((place / mark).is_file() for mark in _SAVED):
            loaded = datasets.load_from_disk(path)
        elif isinstance(origin.repository, hub.Repository) and origin.silence is not None:
            loaded = _from_cache(origin, origin.repository, config)
        else:
            # What is in the library's cache may be another commit: `_from_cache` looks.
            with hub.setting((datasets.load, "CachedDatasetModuleFactory", None)):
                loaded = hub.patiently(
                    _name(origin.source, config),
                    lambda: datasets.load_dataset(path, name, **options),
                    library_tries=True,
                )
        splits = loaded if isinstance(loaded, dict) else {None: loaded}
        # A table that is streamed tells its columns only when it is looked into.
        typed = {
            split: rows if rows.features is not None else rows._resolve_features()
            for split, rows in splits.items()
        }
    except DataError:
        raise
    except Exception as error:  # as in _origin; the readers of files have theirs too
        raise _failure(origin, config, error) from error
    if list(typed) == ["train"]:
        return [_Part(config, None, typed["train"])]
    return [_Part(config, split, rows) for split, rows in typed.items()]


def _from_cache(origin: _Origin, repository: hub.Repository, config: str | None) -> Any:
    """Return what was loaded before, of a data set whose hub is silent."""
    import datasets  # noqa: PLC0415  (as in _parts)

    failure = _failure(origin, config, origin.silence or ConnectionError())
    try:
        with _library(offline=True):
            loaded = datasets.load_dataset(repository.id, config)
    except Exception:
        raise failure from origin.silence
    splits = loaded.values() if isinstance(loaded, dict) else (loaded,)
    # The library's cache has a folder for each commit.
    commits = {Path(file["filename"]).parent.name for rows in splits for file in rows.cache_files}
    if repository.revision is not None and commits != {repository.revision}:
        raise failure from origin.silence
    _log.warning(
        "%s: the hub cannot be reached, so the copy that was loaded before is used (commit %s)",
        _name(origin.source, config),
        ", ".join(sorted(commits)),
    )
    return loaded


def _require_one(origin: _Origin, place: Path) -> None:
    """Refuse a folder that holds several data sets in subfolders: mixed, none has its name."""
    card = place / "README.md"
    is_listed = card.is_file() and re.search(rb"^configs:", card.read_bytes(), re.MULTILINE)
    if is_listed or any((place / mark).is_file() for mark in _SAVED):
        return
    if any(path.suffix in _DATA for path in place.iterdir()):
        return
    subfolders = _subfolders(place)
    if len(subfolders) > 1:
        raise _choice(origin, None, subfolders)


def _subfolders(place: Path) -> list[str]:
    """Return the subfolders that are data sets of their own, sorted; a split's is none."""
    return sorted(
        folder.name
        for folder in place.iterdir()
        if folder.is_dir()
        and re.split(r"[._-]", folder.name)[0] not in _SPLITS
        and any(file.suffix in _DATA or file.name in _SAVED for file in folder.iterdir())
    )


def _choice(origin: _Origin, config: str | None, names: Sequence[str]) -> DataError:
    """Return the error of a configuration that is not there, or is needed."""
    listed = ", ".join(names)
    if config is None:
        return DataError(
            f"the data set {origin.source!r} has {len(names)} configurations, and none is named;"
            f" name one or several, such as `hf:{origin.source}:{'+'.join(names[:2])}`. They are:"
            f" {listed}"
        )
    return DataError(
        f"the data set {origin.source!r} has no configuration {config!r}"
        f"{hub.suggestion(config, names)}. It has: {listed}"
    )


def _configurations(origin: _Origin) -> list[str]:
    """Return the names of the configurations; none where they cannot be told."""
    import datasets  # noqa: PLC0415  (as in _parts)

    subfolders = [] if origin.place is None else _subfolders(origin.place)
    try:
        names: list[str] = datasets.get_dataset_config_names(origin.path, revision=origin.commit)
    except Exception:  # whatever hinders, the first error is told
        return subfolders
    return sorted({*names, *subfolders} - ({"default"} if subfolders else set()))


def _failure(origin: _Origin, config: str | None, error: Exception) -> DataError:
    """Return the one error that says why a data set cannot be loaded, and what to do."""
    if isinstance(error, ValueError) and (origin.place or origin.commit):
        names = _configurations(origin)
        if (config is None and len(names) > 1) or (config is not None and config not in names):
            return _choice(origin, config, names)
    chosen = f" (configuration {config!r})" if config else ""
    told = f"the data set {origin.source!r}{chosen}"
    if any(
        isinstance(each, ImportError) and "torchcodec" in str(each) for each in hub.chain(error)
    ):
        fetch = f"`hf download --repo-type dataset {origin.path} --local-dir FOLDER`"
        return DataError(
            f"{told} is a folder of audio files rather than Parquet: write a manifest of"
            f" {'it' if origin.place else f'what {fetch} gives'}, and load that"
        )
    if isinstance(origin.repository, Path):
        return DataError(
            f"{told} cannot be loaded: {hub.reason(error)}; give a folder made by `save_to_disk`,"
            " or a folder of Parquet files. For a folder of audio files write a manifest"
        )
    why = hub.failure(origin.repository, error, met=origin.met, known=list(_LICENCES))
    return DataError(f"{told} {why}. {_OTHER_WAYS}")


def _name(source: str, config: str | None) -> str:
    return f"{source}:{config}" if config else source


def _columns(
    part: _Part, source: str, given: Mapping[str, str], named: Mapping[str, str | None]
) -> dict[str, str]:
    """Return the column of each field that has one; given names come before guessed ones."""
    unknown = sorted(set(given) - set(_COLUMNS))
    if unknown:
        raise DataError(f"unknown fields {', '.join(unknown)}; they are {', '.join(_COLUMNS)}")
    present: list[str] = part.rows.column_names
    found: dict[str, str] = {}
    faults = []
    for name, guesses in _COLUMNS.items():
        wanted = (given[name],) if name in given else guesses
        column = next((each for each in wanted if each in present), None)
        if column is not None:
            found[name] = column
        elif name in given or (name in _NEEDED and not named.get(name)):
            looked = f"no column {name}: looked for one named {' or '.join(wanted)}"
            faults.append(Fault("column-missing", _name(source, part.config), looked))
    if "accent" not in found and not named["accent"] and not part.config and not faults:
        nowhere = "neither a column nor a configuration names the accent"
        faults.append(Fault("accent-missing", source, nowhere))
    if faults:
        raise data_error(f"the data set {source!r} has the columns {', '.join(present)}", faults)
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
    rows: Iterable[dict[str, Any]] = part.rows.cast_column(audio, datasets.Audio(decode=False))
    for index, row in enumerate(rows):
        names = {
            column: name_of(row[column])
            for column, name_of in classes.items()
            if row[column] is not None
        }
        yield f"{prefix}-{index:06d}", row | names


def _text(row: Mapping[str, Any], columns: Mapping[str, str], name: str) -> str:
    value = row[columns[name]] if name in columns else None
    return "" if value is None else str(value).strip()


def _tell(
    source: str, reader: _Reader, faults: list[Fault] | None, notes: list[str] | None
) -> None:
    """Refuse a data set with faults or no usable row, and tell which rows were left out."""
    used, skipped = len(reader.found), reader.skipped
    if faults is not None:
        faults += reader.faults
    elif reader.faults:
        raise data_error(
            f"the data set {source!r}: {len(reader.faults)} faults in its rows", reader.faults
        )
    if not used and not reader.faults:
        spoken = f" in the accent {' or '.join(sorted(reader.accents))}" if reader.accents else ""
        raise DataError(
            f"the data set {source!r} has no row with audio and a transcript{spoken}; choose"
            " another"
        )
    if skipped:
        more = f" and {len(skipped) - _LISTED} more" if len(skipped) > _LISTED else ""
        told = (
            f"{source}: {len(skipped)} of {len(skipped) + used} rows have no transcript or no audio"
            f" and were left out: {', '.join(skipped[:_LISTED])}{more}"
        )
        if notes is None:
            _log.warning("%s", told)
        else:
            notes.append(told)


def _with_unique_ids(utterances: Mapping[str, Utterance]) -> Iterator[Utterance]:
    """Return the utterances under unique ids: their own, else with the speaker, else their labels.

    In corpora of read speech the id is often the sentence's, which all speakers share.
    """
    own = {label: each.id for label, each in utterances.items()}
    spoken = {label: f"{each.speaker}-{each.id}" for label, each in utterances.items()}
    ids = next((ids for ids in (own, spoken) if len(set(ids.values())) == len(ids)), None)
    for label, utterance in utterances.items():
        yield replace(utterance, id=ids[label] if ids else label)
