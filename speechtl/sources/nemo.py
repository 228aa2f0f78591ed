"""Manifests of NVIDIA NeMo: a JSON object on each line, with `audio_filepath` and `text`.

The keys are those that NeMo itself reads (2.x, `collections/common/parts/preprocessing/manifest`).
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from speechtl.faults import Fault
from speechtl.sources.folder import lines, moved
from speechtl.sources.rows import Options, Row

__all__ = ["rows"]

_KEYS: dict[str, tuple[str, ...]] = {
    "audio": ("audio_filepath", "audio_filename"),
    "text": ("text", "normalized_text"),
    "speaker": ("speaker",),
    "accent": ("accent", "dialect"),
    "sex": ("gender", "sex"),
    "licence": ("license", "licence"),
}
_SEXES = {"m": "male", "f": "female"}
_DEEPEST = 8  # folders that an id may begin with
_LONGEST = 1e9  # seconds that are written in an id


def rows(source: Path, options: Options, notes: list[str]) -> Iterator[Row | Fault]:
    """Return the utterances of a manifest, in its order.

    An `offset` and the `duration` give start and end; without an offset the utterance is the whole
    recording, whose length `duration` then is. The id is the recording's name without its suffix,
    with the offset in milliseconds where several rows share the recording.

    Args:
        source: The manifest, which is read twice.
        options: `columns` are names of keys; `audio` is the folder of the recordings, where they
            lie elsewhere than the manifest says.
        notes: Gets a line on ids that take folders in.
    """
    keys = _KEYS | {field: (key,) for field, key in options.columns.items()}
    shared = _shared(source, keys)
    depth = _depth(shared)
    if depth > 1:
        notes.append(
            f"id: the last {depth} parts of a recording's path, whose names are not unique"
        )
    name = _namer(shared, depth)
    folder = options.audio.resolve() if options.audio is not None else None
    tarred = False
    for line, row in _objects(source):
        if isinstance(row, Fault):
            yield row
            continue
        values = {field: _first(row, names) for field, names in keys.items()}
        audio = values["audio"]
        if audio is None:
            told = f"the key {keys['audio'][0]!r} is missing"
            yield Fault("field-missing", f"{source.name}:{line}", told)
            continue
        tarred = tarred or "shard_id" in row
        values.update(_times(row))
        values["id"] = values.get("id") or name(audio, values, line)
        values["audio"] = _located(audio, folder)
        yield Row(source, line, _plain(values))
    if tarred:
        notes.append("rows name a shard_id: unpack the tar files beside the manifest")


def _objects(source: Path) -> Iterator[tuple[int, dict[str, Any] | Fault]]:
    """Return the line number and the object, or the fault, of each line that is not blank."""
    decode = json.loads
    name = source.name
    first = True
    for line, content in lines(source, name):
        if isinstance(content, Fault):
            yield line, content
            continue
        if not content or content.isspace():
            continue
        if first and content.lstrip()[0] == "[":
            told = "is one JSON list; a NeMo manifest has an object on each line"
            yield line, Fault("malformed", f"{name}:{line}", told)
            return
        first = False
        try:
            row = decode(content)
        except json.JSONDecodeError as error:
            told = f"is not JSON ({error.msg} at column {error.colno})"
            yield line, Fault("malformed", f"{name}:{line}", told)
            continue
        except (ValueError, RecursionError) as error:
            told = f"is not usable JSON ({error})"
            yield line, Fault("malformed", f"{name}:{line}", told)
            continue
        if type(row) is dict:
            yield line, row
        else:
            told = f"must be one object in braces, got {type(row).__name__}"
            yield line, Fault("malformed", f"{name}:{line}", told)


def _first(row: Mapping[str, Any], names: Iterable[str]) -> Any:
    for name in names:  # a loop, for a generator takes three times as long
        if (value := row.get(name)) is not None:
            return value
    return None


# --- ids ------------------------------------------------------------------------------------------


def _shared(source: Path, keys: Mapping[str, tuple[str, ...]]) -> Counter[str]:
    """Return how many rows have each recording."""
    names = keys["audio"]
    found: Counter[str] = Counter()
    for _, row in _objects(source):
        if isinstance(row, dict) and isinstance(audio := _first(row, names), str):
            found[audio] += 1
    return found


def _depth(paths: Iterable[str]) -> int:
    """Return how many of their last parts tell paths apart; 1, where none do."""
    paths = tuple(paths)
    return next(
        (
            depth
            for depth in range(1, _DEEPEST)
            if len({_tail(path, depth) for path in paths}) == len(paths)
        ),
        1,
    )


def _tail(path: str, depth: int) -> str:
    """Return the last parts of a path, joined by a hyphen, without the suffix."""
    stem = os.path.splitext(path.replace("\\", "/"))[0]  # noqa: PTH122  (a tenth of the time)
    parts = stem.rsplit("/", depth)[-depth:]
    return "-".join(part for part in parts if part not in {"", ".", ".."})


def _namer(shared: Counter[str], depth: int) -> Callable[[Any, Mapping[str, Any], int], str]:
    """Return the function that names a row by its recording, its times and its line.

    Names are unique, but that a row which is there twice gets one name twice: `build` tells it.
    """
    taken: set[str] = set()
    numbers: Counter[str] = Counter()
    spans: dict[tuple[object, ...], str] = {}  # of the rows that share their recording

    def name(audio: Any, values: Mapping[str, Any], line: int) -> str:
        if not isinstance(audio, str):
            return f"line-{line}"
        found = base = _tail(audio, depth) or f"line-{line}"
        span: tuple[object, ...] = ()
        if shared[audio] > 1:
            start, end = _number(values.get("start")), _number(values.get("end"))
            if start is not None and 0 <= start < _LONGEST:
                found = base = f"{base}-{round(start * 1000):07d}"
            span = (audio, start, end)
            if span in spans:
                return spans[span]
        while found in taken:
            numbers[base] += 1
            found = f"{base}-{numbers[base] + 1}"
        taken.add(found)
        if span:
            spans[span] = found
        return found

    return name


# --- values ---------------------------------------------------------------------------------------


def _times(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return start and end; what is no number stays as it is, and `build` tells it."""
    start, length = row.get("offset"), row.get("duration")
    if start is None:
        return {}
    if _number(start) is None or _number(length) is None:
        return {"start": start, "end": length}
    try:
        # Microseconds: the sum of two decimal fractions is not one of as few digits.
        return {"start": start, "end": round(float(start + length), 6)}
    except OverflowError:  # JSON has integers that no float holds
        return {"start": start, "end": math.inf}


def _located(audio: Any, folder: Path | None) -> Any:
    if not isinstance(audio, str):
        return audio
    if audio.startswith("~/"):  # NeMo expands it too
        audio = os.path.expanduser(audio)  # noqa: PTH111  (Path's raises without a home)
    return audio if folder is None else moved(audio, folder)


def _number(value: Any) -> int | float | None:
    return value if type(value) is float or type(value) is int else None


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values that there are, in the form that `Row` has them."""
    if _number(values.get("speaker")) is not None:
        values["speaker"] = str(values["speaker"])
    if isinstance(sex := values.get("sex"), str):
        values["sex"] = _SEXES.get(sex.strip().lower(), sex)
    return {
        field: value.strip() if type(value) is str else value
        for field, value in values.items()
        if value is not None
    }
