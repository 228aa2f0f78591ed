"""Make the starter again from nothing: the corpus and the base models.

    python scripts/build_starter.py --work FOLDER

Needs espeak-ng and flite (Debian packages), and about 5 GB in FOLDER.

A stage whose result is in the work folder is not run again, and a training that was ended goes on
where it was. Two cores take some hours for all of it; each stage says how long it took.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import Wav2Vec2ForCTC

sys.path.insert(0, str(Path(__file__).resolve().parent))

from starter import variants
from starter.plan import corpus_plan, pretraining_plan
from starter.pretraining import Recordings, new_wav2vec2, new_whisper, train_ctc, train_whisper
from starter.recordings import write_corpus, write_flat
from starter.synthesis import phonemes

STARTER = Path(__file__).resolve().parent.parent / "speechtl" / "starter"
SEED = 2026
PRETRAINING_UTTERANCES = 40_000
WAV2VEC2_STEPS = 22_000
WHISPER_STEPS = 14_000

log = logging.getLogger("build_starter")


def spoken_phonemes(data: Recordings) -> list[list[str]]:
    texts = [row["text"] for row in data.rows]
    by_language = {language: phonemes(texts, language) for language in ("en-us", "en-gb-x-rp")}
    british = ["en-gb" in row["speaker"] for row in data.rows]
    return [by_language["en-gb-x-rp" if gb else "en-us"][i] for i, gb in enumerate(british)]


def stage_corpus(_: Path) -> None:
    shutil.rmtree(STARTER / "corpus", ignore_errors=True)
    minutes = write_corpus(corpus_plan(SEED), STARTER / "corpus")
    log.info("the corpus has %.1f minutes", minutes)


def stage_speech(work: Path) -> None:
    variants.write(work / "voices", SEED)
    os.environ["ESPEAK_DATA_PATH"] = str(work / "voices")
    plan = islice(pretraining_plan(SEED), PRETRAINING_UTTERANCES)
    hours = write_flat(plan, work / "base")
    (work / "phonemes.json").write_text(json.dumps(spoken_phonemes(Recordings(work / "base"))))
    log.info("the base models' speech has %.1f hours", hours)


def stage_wav2vec2(work: Path) -> None:
    torch.manual_seed(SEED)
    model, processor = new_wav2vec2(work / "wav2vec2")
    spoken = json.loads((work / "phonemes.json").read_text())
    train_ctc(
        model,
        processor,
        Recordings(work / "base"),
        spoken,
        steps=WAV2VEC2_STEPS,
        checkpoint=work / "wav2vec2.pt",
    )
    publish(model, processor, STARTER / "wav2vec2")


def stage_whisper(work: Path) -> None:
    torch.manual_seed(SEED)
    data = Recordings(work / "base")
    encoder = Wav2Vec2ForCTC.from_pretrained(STARTER / "wav2vec2", dtype=torch.float32)
    sentences = [row["text"] for row in data.rows]
    model, processor = new_whisper(sentences, work / "whisper", encoder=encoder)
    spoken = json.loads((work / "phonemes.json").read_text())
    train_whisper(
        model, processor, data, spoken, steps=WHISPER_STEPS, checkpoint=work / "whisper.pt"
    )
    publish(model, processor, STARTER / "whisper")


def publish(model: Any, processor: Any, directory: Path) -> None:
    """Save in half precision: the package stays small, and the models are read as float32."""
    shutil.rmtree(directory, ignore_errors=True)
    model.half().save_pretrained(directory)
    processor.save_pretrained(directory)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work", type=Path, required=True, help="folder for intermediate files, about 5 GB"
    )
    parser.add_argument(
        "--stages",
        default="corpus,speech,wav2vec2,whisper",
        help="which to run, separated by commas",
    )
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    stages = {
        "corpus": stage_corpus,
        "speech": stage_speech,
        "wav2vec2": stage_wav2vec2,
        "whisper": stage_whisper,
    }
    for name in options.stages.split(","):
        done = options.work / f"{name}.done"
        if done.exists():
            log.info("%s: %s", name, done.read_text().strip())
            continue
        started = time.monotonic()
        options.work.mkdir(parents=True, exist_ok=True)
        stages[name](options.work)
        done.write_text(f"took {(time.monotonic() - started) / 60:.1f} minutes\n")
        log.info("%s: %s", name, done.read_text().strip())


if __name__ == "__main__":
    main()
