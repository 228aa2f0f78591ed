"""Scoring large test sets: 100,000 utterances in a minute and in 2 GB."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

UTTERANCES = 100_000
LIMIT_S = 60.0  # of processor time
LIMIT_GB = 2.0

# Sentences of ten words of 5,000, none said twice, by 400 speakers of eight accents, with all that
# a row may know; the base has three words in ten wrong, the adapted system two.
PROGRAM = f"""
import json, random, resource, sys, time
from scoring.conftest import FACTS
from speechtl.scoring import Hypothesis, make_report

rng = random.Random(0)
words = [f"word{{number}}" for number in range(5000)]

def wrong(said, rate):
    heard = []
    for word in said:
        x = rng.random() / rate
        if x < 0.25:
            continue
        heard.append(rng.choice(words) if x < 0.75 else word)
        if 0.75 <= x < 1:
            heard.append(rng.choice(words))
    return " ".join(heard)

rows = {{"base": [], "adapted": []}}
for number in range({UTTERANCES}):
    said = rng.choices(words, k=10)
    for system, rate in (("base", 0.3), ("adapted", 0.2)):
        rows[system].append(
            Hypothesis(
                id=f"u{{number}}",
                audio=f"/speech/u{{number}}.wav",
                speaker=f"speaker-{{number % 400}}",
                accent=f"accent-{{number % 8}}",
                reference=" ".join(said).capitalize() + ".",
                hypothesis=wrong(said, rate),
                snr_db=float(number % 40),
                seen=number % 3 == 0,
            )
        )
started = time.process_time()
found = make_report(FACTS, {{"target": rows["base"]}}, {{"target": rows["adapted"]}})
found.to_json()
seconds = time.process_time() - started
kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
if sys.platform == "darwin":
    kilobytes /= 1024
target = found.sets["target"]
print(
    json.dumps(
        {{
            "s": seconds,
            "gb": 1024 * kilobytes / 1e9,
            "utterances": target.utterances,
            "words": target.words,
            "wer": [target.base.wer, target.adapted.wer],
        }}
    )
)
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_hundred_thousand_utterances_are_scored_in_a_minute_and_in_two_gigabytes() -> None:
    printed = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = json.loads(printed.splitlines()[-1])
    assert (found["utterances"], found["words"]) == (UTTERANCES, 10 * UTTERANCES)
    assert found["wer"] == pytest.approx([0.3, 0.2], abs=0.01)
    figures = f"{found['s']:.0f} s of processor time, {found['gb']:.2f} GB at most"
    print(f"\n{UTTERANCES:,} utterances: {figures}")
    assert found["s"] <= LIMIT_S, figures
    assert found["gb"] <= LIMIT_GB, figures
