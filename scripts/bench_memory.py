"""Measure the peak memory of an adaptation: how it grows with the hours of speech.

    python scripts/bench_memory.py --model starter-wav2vec2 --strategy head --minutes 10 600

The starter's Scottish training speech is repeated under new ids to make the minutes, so that every
utterance is read, encoded and kept on its own; each run is a process of its own, from an empty
cache, with one epoch and one copy.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from speechtl import corpora
from speechtl.audio import SAMPLE_RATE
from speechtl.corpus import Corpus, Utterance
from speechtl.manifest import write_manifest

ADAPT = Path(__file__).with_name("adapt.py")


def repeated(scottish: Corpus, minutes: float, folder: Path) -> Iterator[Utterance]:
    """Yield a corpus, its audio in `folder`, with so many minutes of training speech."""
    moved = [replace(each, audio=folder / each.audio.name) for each in scottish]
    yield from (each for each in moved if each.split != "train")
    train = [each for each in moved if each.split == "train"]
    left_s = 60 * minutes
    for turn in itertools.count():
        for each in train:
            if left_s <= 0:
                return
            end = each.duration
            left_s -= end
            # From another sample on it is another recording, whose features are kept for itself.
            yield replace(each, id=f"{each.id}-{turn}", start=turn / SAMPLE_RATE, end=end)


def peak_mb(minutes: float, options: argparse.Namespace) -> float:
    """Return the most resident memory of one run (10^6 bytes)."""
    with TemporaryDirectory() as folder:
        scottish = corpora.load("starter").where(accent="scottish")
        audio = Path(folder) / "audio"
        audio.mkdir()
        for path in {each.audio for each in scottish}:
            shutil.copy(path, audio)
        manifest = Path(folder) / "manifest.jsonl"
        write_manifest(Corpus(repeated(scottish, minutes, audio)), manifest)
        command = [sys.executable, str(ADAPT), "--accent", "scottish", "--quiet"]
        command += ["--model", options.model, "--strategy", options.strategy]
        command += ["--corpus", str(manifest), "--general", "none"]
        command += ["--epochs", "1", "--copies", "1", "--output", f"{folder}/run"]
        environment = os.environ | {"SPEECHTL_CACHE": f"{folder}/cache"}
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the run ended with {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024  # bytes
    return usage.ru_maxrss * unit / 1e6


def main() -> None:
    """Print a line for each length."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="starter-wav2vec2")
    parser.add_argument("--strategy", default="head")
    parser.add_argument("--minutes", type=float, nargs="+", default=[10, 600])
    options = parser.parse_args()
    for minutes in options.minutes:
        found = peak_mb(minutes, options)
        print(f"{options.model}, {options.strategy}, {minutes:g} min: {found:.0f} MB", flush=True)


if __name__ == "__main__":
    main()
