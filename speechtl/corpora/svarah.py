"""Svarah: read and spontaneous English of India, by speakers of 19 first languages.

Layouts: of the hub's gated repository `ai4bharat/Svarah`, `data/test-*.parquet` with the columns
`audio_filepath`, `text`, `gender`, `age-group`, `primary_language` and so on; of the archive that
its authors describe, `svarah_manifest.json` (a JSON object on each line), `audio/` and
`meta_speaker_stats.csv`. No release names the speakers: whoever gives the same answers is taken for
one speaker, so that a person is never in two splits. That makes about 115 of the 117 speakers.
Source: https://github.com/AI4Bharat/Svarah, Javed et al. 2023 (Interspeech).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from speechtl import hub
from speechtl.corpora.known import KnownCorpus, full_sex, lines, not_there, placed, table
from speechtl.errors import DataError
from speechtl.faults import Fault
from speechtl.sources.rows import Options, Row, shown
from speechtl.sources.tables import CACHE, stored

__all__ = ["CORPUS", "fetched", "rows"]

CORPUS = KnownCorpus(
    name="svarah",
    title="Svarah",
    hours="9.6",
    speakers="117, who are not named in it",
    licence="CC-BY-4.0",
    url="https://huggingface.co/datasets/ai4bharat/Svarah",
    how_to_get=(
        "accept its terms on https://huggingface.co/datasets/ai4bharat/Svarah, log in with "
        "`hf auth login`, and it is fetched from the hub (1.1 GB)"
    ),
    accents=("indian",),
    inside=("svarah", "Svarah"),
    marks=("svarah_manifest.json", "data/test-*.parquet"),
    hub="ai4bharat/Svarah",
    note="meant for evaluation: all of it is the split test; --folds trains on it all the same",
)

_PROFILE = (
    "gender", "age-group", "primary_language", "native_place_state", "native_place_district",
    "highest_qualification", "job_category", "occupation_domain",
)  # fmt: skip


def rows(
    folder: Path,
    options: Options,  # noqa: ARG001  (of every source; here `build` alone needs them)
    notes: list[str],
) -> Iterator[Row | Fault]:
    """Return the utterances of a copy in either layout, and what is wrong with it."""
    root = placed(CORPUS, folder)
    if root is None:
        yield not_there(CORPUS, folder)
        return
    notes.append("Svarah names no speakers: whoever gave the same answers is taken for one")
    if (root / "svarah_manifest.json").is_file():
        yield from _manifest(root)
        return
    for file in sorted(root.glob("data/test-*.parquet")):
        yield from _parquet(file, root)


def fetched() -> Path:
    """Return the folder of the hub's copy, in the hub's cache; what lacks is fetched.

    Raises:
        DataError: It cannot be had, as long as its terms were not accepted.
    """
    import huggingface_hub  # noqa: PLC0415  (takes a while, and is needed here alone)

    repository = hub.Repository("dataset", str(CORPUS.hub), None)

    def fetch() -> str:
        return huggingface_hub.snapshot_download(
            repository.id, repo_type="dataset", allow_patterns=["data/test-*.parquet"]
        )

    with hub.session() as met:
        try:
            return Path(hub.patiently(CORPUS.title, fetch, library_tries=True))
        except Exception as error:
            # The hub's client and its transport each raise kinds of their own.
            why = hub.failure(repository, error, met=met)
            raise DataError(f"{CORPUS.title} {why}. To have it: {CORPUS.how_to_get}") from error


def _manifest(root: Path) -> Iterator[Row | Fault]:
    people: dict[str, Mapping[str, str]] = {}
    file = root / "meta_speaker_stats.csv"
    for _, told in table(file, root, ["text"]):
        if isinstance(told, Fault):
            yield told
            continue
        recording = told.get("audio_filepath", "").replace("\\", "/").rpartition("/")[2]
        people.setdefault(recording or told["text"], told)
    file = root / "svarah_manifest.json"
    for number, line in lines(file, root):
        if isinstance(line, Fault):
            yield line
            continue
        if not line.strip():
            continue
        place = f"{shown(file, root)}:{number}"
        row = _object(line, place)
        if isinstance(row, Fault):
            yield row
            continue
        text = row.get("text")
        name = str(row.get("audio_filepath", "")).replace("\\", "/").rpartition("/")[2]
        person = people.get(name) or people.get(str(text).strip()) or {}
        values = _values(name, text, person)
        yield Row(file, number, {**values, "audio": (root / "audio" / name).as_posix()})


def _object(line: str, place: str) -> dict[str, Any] | Fault:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Fault("malformed", place, f"is not JSON ({error})")
    if not isinstance(row, dict) or not row.get("audio_filepath"):
        return Fault("malformed", place, "must be an object with an audio_filepath")
    return row


def _parquet(file: Path, root: Path) -> Iterator[Row | Fault]:
    import pyarrow as pa  # noqa: PLC0415  (takes a quarter of a second)
    import pyarrow.parquet as pq  # noqa: PLC0415

    name, number = shown(file, root), 0
    try:
        with pq.ParquetFile(file) as content:
            missing = {"audio_filepath", "text"} - {*content.schema_arrow.names}
            if missing:
                told = f"has no column {', '.join(sorted(missing))}"
                yield Fault("column-missing", name, told)
                return
            for batch in content.iter_batches(batch_size=64):
                for row in batch.to_pylist():
                    number += 1
                    yield _parquet_row(file, number, row)
    except (pa.ArrowException, OSError, ValueError) as error:
        told = f"cannot be read as Parquet ({str(error).splitlines()[0]})"
        yield Fault("malformed", name, told)


def _parquet_row(file: Path, number: int, row: Mapping[str, Any]) -> Row:
    audio = row["audio_filepath"]
    sound = audio if isinstance(audio, dict) else {}
    name = str(sound.get("path") or f"{file.stem}-{number}.wav").rpartition("/")[2]
    values = _values(name, row["text"], row)
    if sound.get("bytes"):
        values["audio"] = stored(sound["bytes"], name, CACHE.expanduser() / CORPUS.name)
    return Row(file, number, values)


def _values(name: str, text: object, person: Mapping[str, Any]) -> dict[str, Any]:
    answers = {field: str(person.get(field) or "").strip() for field in _PROFILE}
    speaker = str(person.get("speaker_id") or "").strip()
    if not speaker and any(answers.values()):
        profile = json.dumps(answers, sort_keys=True).encode("utf-8", "surrogatepass")
        speaker = f"profile-{hashlib.sha256(profile).hexdigest()[:12]}"
    return {
        "id": name.rpartition(".")[0] or name,
        "text": text.strip() if isinstance(text, str) else text,
        "speaker": speaker or None,
        "accent": "indian",
        "split": "test",
        "sex": full_sex(answers["gender"]),
        "licence": CORPUS.licence,
    }
