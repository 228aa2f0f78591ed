"""Where the sentences of a transcript are in a recording, measured against where they were put."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchaudio.functional

from speechtl import alignment, corpora
from speechtl.alignment import Alignment, align, utterances
from speechtl.audio import SAMPLE_RATE, Waveform, write
from speechtl.corpus import Corpus
from speechtl.errors import ConfigError, DataError, ModelError
from speechtl.manifest import read_manifest, write_manifest
from speechtl.models import SpeechModel, load

UNSPOKEN = (
    "Chapter two, in which nothing happens at all.",
    "The committee will publish its minutes tomorrow.",
    "Bring umbrellas because everybody expects thunderstorms.",
)


@dataclass(frozen=True)
class Said:
    text: str
    start: float
    end: float


def spoken(waveform: Waveform) -> Waveform:
    """Return a clean waveform from the first to the last 10 ms that are within 35 dB of the top."""
    hops = waveform[: len(waveform) // 160 * 160].reshape(-1, 160)
    level = 10 * np.log10(np.square(hops, dtype=np.float64).mean(axis=1) + 1e-12)
    loud = np.flatnonzero(level > level.max() - 35)
    return waveform[loud[0] * 160 : (loud[-1] + 1) * 160]


def record(path: Path, corpus: Corpus, *, noise: float = 1e-3, seed: int = 0) -> list[Said]:
    """Write utterances with pauses of 0.3 to 1 s between, and return where each one is."""
    rng = np.random.default_rng(seed)
    parts, said, at = [np.zeros(8000, dtype=np.float32)], [], 8000
    for utterance in corpus:
        speech = spoken(utterance.waveform())
        said.append(Said(utterance.text, at / SAMPLE_RATE, (at + len(speech)) / SAMPLE_RATE))
        pause = int(rng.uniform(0.3, 1.0) * SAMPLE_RATE)
        parts += [speech, np.zeros(pause, dtype=np.float32)]
        at += len(speech) + pause
    whole = np.concatenate(parts)
    write(path, (whole + noise * rng.standard_normal(len(whole))).astype(np.float32))
    return said


def starter_utterances(accent: str, count: int) -> Corpus:
    """Return utterances of the starter's test speakers, no sentence twice."""
    corpus = corpora.load("starter").where(accent=accent, split="test")
    order = np.random.default_rng(1).permutation(len(corpus)).tolist()
    chosen = {corpus[i].text: corpus[i] for i in order}
    return Corpus(list(chosen.values())[:count])


@pytest.fixture(scope="session")
def model() -> SpeechModel:
    return load("starter-wav2vec2")


@dataclass(frozen=True)
class Case:
    path: Path
    said: list[Said]
    deleted: list[Said]
    found: Alignment


@pytest.fixture(scope="session", params=["general", "scottish"])
def case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, model: SpeechModel
) -> Case:
    """Return 40 sentences in a recording, 3 of which the text lacks, and 3 others that it has."""
    path = tmp_path_factory.mktemp(request.param) / "interview.wav"
    said = record(path, starter_utterances(request.param, 40))
    deleted = [said[4], said[19], said[33]]
    lines = [each.text for each in said]
    for place, line in zip((30, 12, 0), UNSPOKEN, strict=True):
        lines.insert(place, line)
    lines = [line for line in lines if line not in {each.text for each in deleted}]
    return Case(path, said, deleted, align(model, path, "\n".join(lines), shortest_s=0))


def spoken_edges(case: Case) -> tuple[list[float], list[float]]:
    """Return how far off the spoken edges of the utterances are, and how much speech they cut."""
    truth = {each.text: each for each in case.said}
    edges, cut = [], []
    for each in case.found.utterances:
        if each.text in truth:
            at = truth[each.text]
            edges += [abs(each.words[0].start - at.start), abs(each.words[-1].end - at.end)]
            cut += [max(0.0, each.start - at.start), max(0.0, at.end - each.end)]
    return edges, cut


def test_almost_all_sentences_that_are_said_and_written_are_found(case: Case) -> None:
    found = {each.text for each in case.found.utterances}
    wanted = {each.text for each in case.said} - {each.text for each in case.deleted}
    assert len(wanted & found) >= 35  # of 37


def test_edges_of_speech_are_placed_within_50_ms(case: Case) -> None:
    edges, cut = spoken_edges(case)
    assert np.median(edges) < 0.05
    assert np.percentile(edges, 95) < 0.25
    assert np.percentile(cut, 95) < 0.05


def test_sentences_that_are_not_said_score_low_and_are_left_out(case: Case) -> None:
    left = {each.text: each.score for each in case.found.left_out}
    assert all(left[line] < alignment.LOWEST_SCORE for line in UNSPOKEN)


def test_speech_that_is_not_written_is_told(case: Case) -> None:
    for each in case.deleted:
        covered = sum(
            max(0.0, min(heard.end, each.end) - max(heard.start, each.start))
            for heard in case.found.unwritten
        )
        assert covered > 0.5 * (each.end - each.start)


def test_utterances_do_not_overlap_and_keep_to_the_margin(case: Case) -> None:
    found = case.found.utterances
    assert all(left.end <= right.start for left, right in pairwise(found))
    assert all(each.words[0].start - 0.3 - 1e-9 <= each.start for each in found)
    assert all(each.end <= each.words[-1].end + 0.3 + 1e-9 for each in found)


# --- a short recording, and what its transcript may be -------------------------------------------


@pytest.fixture(scope="session")
def short(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Said]]:
    path = tmp_path_factory.mktemp("short") / "take.wav"
    return path, record(path, starter_utterances("general", 6))


def test_the_score_is_the_mean_probability_of_the_characters(
    short: tuple[Path, list[Said]], model: SpeechModel
) -> None:
    path, said = short
    found = align(model, path, "\n".join(each.text for each in said), shortest_s=0)
    for each in found.utterances:
        letters = [len(word.text) for word in each.words]
        total = sum(n * (word.score or 0) for n, word in zip(letters, each.words, strict=True))
        assert each.score == pytest.approx(total / sum(letters), abs=1e-6)
        assert 0.45 <= each.score <= 1


def test_the_same_call_gives_the_same_alignment(
    short: tuple[Path, list[Said]], model: SpeechModel
) -> None:
    path, said = short
    text = "\n".join(each.text for each in said)
    assert align(model, path, text) == align(model, path, text)


def test_text_keeps_its_spelling_and_a_single_block_is_cut_at_sentences(
    short: tuple[Path, list[Said]], model: SpeechModel
) -> None:
    path, said = short
    marked = [f"“{each.text.capitalize()} – .”" for each in said]
    found = align(model, path, " ".join(marked), shortest_s=0)
    assert [each.text for each in found.utterances] == marked


def test_names_give_the_speakers_and_are_not_aligned(
    short: tuple[Path, list[Said]], model: SpeechModel
) -> None:
    path, said = short
    names = ["ANNA: ", "", "[Ben] ", "Anna Smith: ", "", ""]
    text = "\n".join(name + each.text for name, each in zip(names, said, strict=True))
    found = align(model, path, text, speakers=True, shortest_s=0)
    assert [each.text for each in found.utterances] == [each.text for each in said]
    assert [each.speaker for each in found.utterances] == [
        "ANNA", "ANNA", "Ben", "Anna Smith", "Anna Smith", "Anna Smith",
    ]  # fmt: skip


def test_characters_that_the_vocabulary_lacks_match_anything_and_are_told(
    short: tuple[Path, list[Said]], model: SpeechModel
) -> None:
    path, said = short
    lines = [each.text for each in said]
    lines[2] = " ".join([*lines[2].split()[:-1], "1984"])
    lines[4] = f"[laughs] {lines[4]}"
    found = align(model, path, "\n".join(lines), shortest_s=0)
    assert found.wildcards == ("1984", "[laughs]")
    assert [each.text for each in found.utterances] == lines
    assert found.utterances[2].words[-1].score is None
    assert abs(found.utterances[2].words[-1].end - said[2].end) < 0.5


def test_long_lines_are_cut_in_pauses_and_short_ones_joined(
    short: tuple[Path, list[Said]], model: SpeechModel
) -> None:
    path, said = short
    block = " ".join(each.text for each in said)
    found = align(model, path, block, longest_s=6, shortest_s=1)
    assert " ".join(each.text for each in found.utterances) == block
    assert len(found.utterances) > 1
    assert all(each.end - each.start <= 6 for each in found.utterances)
    joined = align(model, path, "\n".join(each.text for each in said), longest_s=15, shortest_s=7.5)
    assert len(joined.utterances) < len(said)
    assert all(each.end - each.start <= 15 for each in joined.utterances)


def test_no_trellis_passes_the_bound_also_without_anchors(
    short: tuple[Path, list[Said]], model: SpeechModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, said = short
    bound, sizes = 40_000, []
    forced = torchaudio.functional.forced_align

    def measured(rows: torch.Tensor, targets: torch.Tensor, **options: Any) -> Any:
        sizes.append(rows.shape[1] * (2 * targets.shape[1] + 1))
        return forced(rows, targets, **options)

    monkeypatch.setattr(alignment, "LARGEST_TRELLIS", bound)
    monkeypatch.setattr(alignment, "forced_align", measured)
    right = align(model, path, "\n".join(each.text for each in said))
    assert len(right.utterances) == len(said)
    wrong = align(model, path, "\n".join(UNSPOKEN * 4))
    assert max(sizes) <= bound
    assert max(right.largest_trellis, wrong.largest_trellis) == max(sizes)
    assert not wrong.utterances


def test_a_corpus_of_stretches_reads_back(
    short: tuple[Path, list[Said]], model: SpeechModel
) -> None:
    path, said = short
    found = align(model, path, "\n".join(each.text for each in said), shortest_s=0)
    corpus = utterances(path, found, accent="general", speaker="anna", licence="CC0-1.0")
    assert [each.id for each in corpus] == [f"take-{n:04d}" for n in range(1, 7)]
    assert {each.audio for each in corpus} == {path.resolve()}
    write_manifest(corpus, path.parent / "manifest.jsonl")
    assert read_manifest(path.parent / "manifest.jsonl") == corpus
    for each, at in zip(corpus, said, strict=True):
        assert len(each.waveform()) / SAMPLE_RATE == pytest.approx(each.duration, abs=1e-3)
        assert each.start is not None
        assert each.end is not None
        assert each.start <= at.start + 0.02
        assert each.end >= at.end - 0.02


def test_utterances_that_nobody_speaks_are_refused(
    short: tuple[Path, list[Said]], model: SpeechModel
) -> None:
    path, said = short
    found = align(model, path, said[0].text)
    with pytest.raises(DataError, match="nothing says who speaks 1 of 1"):
        utterances(path, found, accent="general")


def test_progress_counts_the_minutes(short: tuple[Path, list[Said]], model: SpeechModel) -> None:
    seen = []

    def track(items: Any, description: str, *, total: int) -> Iterator[Any]:
        for each in items:
            seen.append((description, total))
            yield each

    align(model, short[0], short[1][0].text, track=track)
    assert seen == [("listening", 1)]


def test_a_silent_recording_has_no_utterances(tmp_path: Path, model: SpeechModel) -> None:
    path = tmp_path / "silence.wav"
    write(path, np.zeros(3 * SAMPLE_RATE, dtype=np.float32))
    found = align(model, path, "Nobody says this.\nNor this.")
    assert not found.utterances
    assert not found.unwritten
    assert [each.text for each in found.left_out] == ["Nobody says this.", "Nor this."]
    assert len(utterances(path, found, accent="general")) == 0


def test_a_whisper_is_refused(short: tuple[Path, list[Said]]) -> None:
    with pytest.raises(ModelError, match="needs a CTC model"):
        align(load("starter-whisper"), short[0], "hello")


@pytest.mark.parametrize("text", ["", " \n", "– …\n!"])
def test_a_transcript_without_words_is_refused(
    short: tuple[Path, list[Said]], model: SpeechModel, text: str
) -> None:
    with pytest.raises(DataError, match="has no word"):
        align(model, short[0], text)


@pytest.mark.parametrize(
    "options",
    [{"longest_s": 1.0}, {"shortest_s": 8.0}, {"shortest_s": -1.0}, {"lowest_score": 2.0}],
)
def test_lengths_and_scores_that_make_no_sense_are_refused(
    short: tuple[Path, list[Said]], model: SpeechModel, options: dict[str, float]
) -> None:
    with pytest.raises(ConfigError, match="alignment needs"):
        align(model, short[0], "hello", **options)  # type: ignore[arg-type]


# --- an hour --------------------------------------------------------------------------------------

HOUR = """
import sys, threading, time
import psutil, torch
from pathlib import Path
from speechtl.alignment import align
from speechtl.models import load

torch.set_num_threads(1)
model, folder = load("starter-wav2vec2"), Path(sys.argv[1])
align(model, folder / "start.wav", "hello")
process, done = psutil.Process(), threading.Event()
before = highest = process.memory_info().rss

def watch():
    global highest
    while not done.wait(0.02):
        highest = max(highest, process.memory_info().rss)

watcher = threading.Thread(target=watch)
watcher.start()
start = time.perf_counter()
found = align(model, folder / "hour.wav", (folder / "hour.txt").read_text(), shortest_s=0)
seconds = time.perf_counter() - start
done.set()
watcher.join()
print(len(found.utterances), (highest - before) / 2**20, seconds, found.largest_trellis)
"""


@pytest.mark.slow
def test_an_hour_takes_a_tenth_of_its_time_and_bounded_memory(tmp_path: Path) -> None:
    corpus = corpora.load("starter").where(accent=("general", "scottish"))
    said = record(tmp_path / "hour.wav", corpus)
    record(tmp_path / "start.wav", corpus[:20])
    assert said[-1].end > 3600
    (tmp_path / "hour.txt").write_text("\n".join(each.text for each in said), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", HOUR, str(tmp_path)], capture_output=True, text=True, check=True
    )
    placed, megabytes, seconds, trellis = map(float, done.stdout.split())
    print(f"{placed:.0f} of {len(said)} placed, {megabytes:.0f} MB, {seconds:.0f} s, {trellis:.0f}")
    assert placed > 0.95 * len(said)
    assert megabytes < 300
    assert seconds < said[-1].end / 10
    assert trellis <= alignment.LARGEST_TRELLIS


def test_lines_that_begin_with_names_are_noticed() -> None:
    assert alignment.names_speakers("ANNA: hello there\n\nBEN: aye\nand so on\n")
    assert not alignment.names_speakers("he said: hello\nand she said so\nand so on")
    assert not alignment.names_speakers("ANNA: alone")
