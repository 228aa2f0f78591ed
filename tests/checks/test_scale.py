"""A million rows: read and checked, without audio, in seconds and within two gigabytes."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

ROWS = 1_000_000
SPEAKERS = 5000

CHECK = """
import json, resource, sys, time
begun = time.process_time()
from speechtl import checks, sources
reading = sources.read(sys.argv[1])
found = checks.check(reading, recordings=False)
print(json.dumps({
    "utterances": len(reading.corpus),
    "kinds": sorted({fault.kind for fault in found.faults}),
    "seconds": time.process_time() - begun,
    "bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
}))
"""


@pytest.mark.slow
def test_a_million_rows_are_read_and_checked_in_thirty_seconds_and_two_gigabytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "audio").mkdir()
    rng = random.Random(0)
    # Word lengths and frequencies as in text: a few words are said often, most seldom.
    words = ["".join(rng.choices("abdeghilmnorstuwy", k=rng.randint(2, 9))) for _ in range(60_000)]
    weights = [1 / (rank + 3) for rank in range(len(words))]
    said = iter(rng.choices(words, weights, k=12 * ROWS))
    with (tmp_path / "manifest.jsonl").open("w", encoding="utf-8") as stream:
        for number in range(ROWS):
            (tmp_path / "audio" / f"{number}.flac").touch()
            speaker = number % SPEAKERS
            split = ("train", "dev", "test")[max(0, speaker // 250 - 17)]
            row = {
                "id": f"u{number}",
                "audio": f"audio/{number}.flac",
                "text": " ".join(next(said) for _ in range(rng.randint(4, 12))),
                "speaker": f"s{speaker}",
                "accent": "scottish" if speaker % 2 else "irish",
                "split": split,
                "licence": "CC-BY-4.0",
            }
            stream.write(json.dumps(row) + "\n")
    done = subprocess.run(
        [sys.executable, "-c", CHECK, str(tmp_path / "manifest.jsonl")],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    with capsys.disabled():
        print(f"\n{found['seconds']:.1f} s of processor time, {found['bytes'] / 1e9:.2f} GB")
    assert found["utterances"] == ROWS
    assert set(found["kinds"]) <= {"text-near", "split-prompt"}
    assert found["seconds"] <= 30
    assert found["bytes"] <= 2e9
