"""The main job on the starter, as a user runs it: adapt, score, open the model, transcribe."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from test_nist import check_with_sclite

from speechtl import models
from speechtl.corpora import starter
from speechtl.corpus import Utterance
from speechtl.metrics import total, word_errors
from speechtl.scoring import read_hypotheses
from speechtl.transcription import transcribe_utterances

REPOSITORY = Path(__file__).resolve().parent.parent
# What each base model must reach on general English; they have 0.109 and 0.012.
BASE_GENERAL_WER = {"starter-wav2vec2": 0.15, "starter-whisper": 0.20}
FEATURE_ENCODERS = {
    "starter-wav2vec2": ("wav2vec2.feature_extractor.",),
    "starter-whisper": ("model.encoder.conv", "model.encoder.embed_positions"),
}


def run(script: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "scripts" / script), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module", params=list(BASE_GENERAL_WER))
def base(request: pytest.FixtureRequest) -> str:
    """The name of each base model of the starter."""
    return str(request.param)


@pytest.fixture(scope="module")
def folder(base: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which one short adaptation of the base model has run."""
    folder = tmp_path_factory.mktemp("user")
    chosen = ("--accent", "caribbean", "--model", base, "--epochs", "2", "--interpolate", "0.7")
    done = run("adapt.py", *chosen, folder=folder)
    assert done.returncode == 0, done.stderr
    (folder / "adapt.out").write_text(done.stdout)
    return folder


@pytest.fixture(scope="module")
def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "runs/caribbean/report.json").read_text())
    return found


def test_the_adapted_model_is_better_on_the_accent(report: dict[str, Any]) -> None:
    target = report["sets"]["target"]
    assert target["adapted"]["wer"] < 0.95 * target["base"]["wer"]
    assert target["difference"]["wer"] == target["adapted"]["wer"] - target["base"]["wer"]


def test_the_report_has_what_its_readers_count_on(report: dict[str, Any]) -> None:
    for key in ("accent", "model", "strategy", "seed", "normaliser", "cut"):
        assert report[key] is not None, key
    assert report["parameters"]["trainable"] > 0 < report["parameters"]["frozen"]
    assert set(report["timing"]) == {"load_s", "features_s", "train_s", "score_s", "total_s"}
    for name, speakers in (("target", 8), ("general", 16)):
        found = report["sets"][name]
        assert found["speakers"] == speakers
        for system in ("base", "adapted"):
            counted = found[system]
            errors = counted["substitutions"] + counted["deletions"] + counted["insertions"]
            assert counted["wer"] == pytest.approx(errors / found["words"])
            assert 0 < counted["cer"] < counted["wer"]


def test_the_terminal_shows_both_accents_before_and_after(folder: Path) -> None:
    shown = (folder / "adapt.out").read_text()
    assert "Caribbean" in shown
    assert "General" in shown
    assert "report.html" in shown


def test_the_reports_are_made_anew_without_a_model(folder: Path, tmp_path: Path) -> None:
    whole = folder / "runs/caribbean"
    again = tmp_path / "again"
    again.mkdir()
    shutil.copytree(whole / "hypotheses", again / "hypotheses")
    shutil.copy(whole / "report.json", again)
    done = run("score.py", str(again), "--trn", str(tmp_path / "trn"), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    for name in ("report.json", "report.html", "report.md", "README.md"):
        assert (again / name).read_bytes() == (whole / name).read_bytes(), name
    written = {path.name for path in (tmp_path / "trn").iterdir()}
    systems = ("ref", "base", "adapted")
    assert written == {f"{name}.{each}.trn" for name in ("target", "general") for each in systems}


@pytest.mark.skipif(shutil.which("sctk") is None, reason="sctk is not installed")
def test_sclite_counts_the_run_as_the_report_does(
    folder: Path, report: dict[str, Any], tmp_path: Path
) -> None:
    hypotheses = read_hypotheses(folder / "runs/caribbean")
    check_with_sclite(hypotheses, tmp_path, normaliser=report["normaliser"])


def test_a_run_knows_length_noise_and_prompts_and_was_tried_in_silence(
    report: dict[str, Any],
) -> None:
    groups = report["sets"]["target"]["groups"]
    for kind in ("lengths", "snr", "prompts"):
        assert sum(each["words"] for each in groups[kind]) == report["sets"]["target"]["words"]
    assert report["silence"]["base"]["recordings"] == 8
    assert {(each["first"], each["second"]) for each in report["leakage"]} >= {("train", "test")}


def test_the_checkpoint_gives_the_scored_texts_through_transformers_pipeline(folder: Path) -> None:
    from transformers import pipeline

    hypotheses = folder / "runs/caribbean/hypotheses/target.adapted.jsonl"
    rows = [json.loads(line) for line in hypotheses.read_text().splitlines()[:12]]
    recognise: Any = pipeline(
        "automatic-speech-recognition", model=str(folder / "runs/caribbean/model"), device="cpu"
    )
    by_audio = {str(u.audio): u for u in starter.load()}
    for row in rows:
        assert Path(row["audio"]).is_absolute()
        text = recognise(by_audio[row["audio"]].waveform())["text"]
        assert text.strip() == row["hypothesis"].strip()


def test_the_frozen_feature_encoder_is_bit_identical(base: str, folder: Path) -> None:
    before = models.load(base).network.state_dict()
    after = models.load(str(folder / "runs/caribbean/model")).network.state_dict()
    frozen = [name for name in before if name.startswith(FEATURE_ENCODERS[base])]
    assert frozen
    assert all(before[name].equal(after[name]) for name in frozen)
    assert not all(before[name].equal(after[name]) for name in before)


def test_the_adapted_model_transcribes_a_file(folder: Path) -> None:
    utterance = next(iter(starter.load().where(accent="caribbean", split="test")))
    done = run(
        "transcribe.py", "--model", "runs/caribbean/model", str(utterance.audio), folder=folder
    )
    assert done.returncode == 0, done.stderr
    assert word_errors(utterance.text, done.stdout.strip()).hits > 0


def test_the_base_model_knows_general_english_and_scottish_clearly_less(base: str) -> None:
    corpus = starter.load()
    model = models.load(base)
    rates = {}
    for accent in ("general", "scottish"):
        utterances: list[Utterance] = list(corpus.where(accent=accent, split="test"))
        texts = transcribe_utterances(model, utterances)
        counts = (word_errors(u.text, t) for u, t in zip(utterances, texts, strict=True))
        rates[accent] = total(counts).rate
    assert rates["general"] <= BASE_GENERAL_WER[base]
    assert rates["scottish"] >= 1.5 * rates["general"]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("family", ["ctc", "whisper"])
def test_a_run_that_is_killed_ends_as_if_it_had_not_been(
    family: str, tiny_models: dict[str, Path], manifest: Path, tmp_path: Path
) -> None:
    # Random models recognise nothing: dev is to find that epochs help, so that they are kept.
    script = tmp_path / "adapt.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from speechtl import pipeline\n"
        "from speechtl.cli import main\n"
        "folder = Path(sys.argv[sys.argv.index('--output') + 1])\n"
        "begun = folder / 'checkpoints' / 'last.pt'\n"
        "pipeline._wer = lambda *_: 0.5 if begun.exists() else 0.9\n"
        "sys.exit(main(command='adapt', program='adapt.py'))\n"
    )

    def command(name: str) -> list[str]:
        given = ["--accent", "scottish", "--model", str(tiny_models[family]), "--device", "cpu"]
        given += ["--corpus", str(manifest), "--general", str(manifest), "--epochs", "40"]
        given += ["--learning-rate", "1e-2", "--batch-size", "2", "--output", str(tmp_path / name)]
        return [sys.executable, str(script), *given]

    def weights(name: str) -> bytes:
        return (tmp_path / name / "model" / "model.safetensors").read_bytes()

    whole = subprocess.run(command("whole"), capture_output=True, text=True, check=False)
    assert whole.returncode == 0, whole.stderr
    with subprocess.Popen(command("killed"), stderr=subprocess.DEVNULL) as process:
        checkpoint = tmp_path / "killed" / "checkpoints" / "last.pt"
        while not checkpoint.exists():
            assert process.poll() is None, "it was over before it could be killed"
            time.sleep(0.01)
        process.kill()
    assert not (tmp_path / "killed" / "report.json").exists()
    again = subprocess.run(command("killed"), capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "going on with the unfinished run" in again.stderr
    assert weights("killed") == weights("whole")
    reports = [
        json.loads((tmp_path / name / "report.json").read_text()) for name in ("whole", "killed")
    ]
    assert reports[0]["sets"] == reports[1]["sets"]
    assert reports[0]["training"] == reports[1]["training"]
    assert (reports[0]["best_epoch"], reports[0]["averaged"]) == (40, 40)
