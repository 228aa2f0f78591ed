"""Small trees in the true layouts of known corpora, with audio made for the test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from speechtl.corpus import Corpus
from speechtl.manifest import read_manifest
from speechtl.sources import Reading


def recording(path: Path, *, seconds: float = 0.05, rate: int = 16_000) -> Path:
    """Write a short tone, in the format of the name's suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(round(seconds * rate)) / rate
    soundfile.write(path, 0.1 * np.sin(2 * np.pi * 220 * times), rate)
    return path


def text(path: Path, content: str) -> Path:
    """Write a text file in UTF-8, as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode("utf-8"))
    return path


def manifest(root: Path, *rows: dict[str, Any]) -> Corpus:
    """Return the corpus of a manifest that lies in the corpus' folder."""
    path = root / "written_by_hand.jsonl"
    text(path, "".join(json.dumps(row) + "\n" for row in rows))
    return read_manifest(path)


def faults(reading: Reading) -> list[tuple[str, str]]:
    """Return the kind and the place of each fault."""
    return [(fault.kind, fault.place) for fault in reading.faults]
