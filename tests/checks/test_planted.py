"""Each kind of fault is planted alone in a clean corpus: it is found, and nothing else is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from speechtl import models, sources
from speechtl.audio import Waveform, write
from speechtl.checks import Findings, check
from speechtl.corpora import starter
from speechtl.faults import KINDS, Fault
from speechtl.models import SpeechModel
from speechtl.sources import Options
from speechtl.text.spelling import Spelling

SPEAKERS = (
    "ann", "bob", "cat", "dan", "eve", "fay",  # Scottish
    "gus", "hal", "ivy", "jan", "kit", "lea",  # Irish
)  # fmt: skip
TEXTS = (
    "the cat sat on the mat", "a dog ran up the hill", "we had soup for lunch",
    "rain fell all morning", "my brother sails boats", "turn left at the bridge",
    "she sold her old piano", "nobody heard the bell", "birds nest in the roof",
    "he painted the gate red", "our train was late again", "put the kettle on now",
    "they walked home slowly", "it's too cold to swim", "close the window, please",
    "the baker starts early", "leave the key with Tom", "I lost a glove today",
    "snow covers every field", "who wrote that letter?", "this road goes to Cork",
    "bring a coat with you", "cows graze by the river", "the moon rose at seven",
)  # fmt: skip
SAID = Options(
    accent="scottish", licence="CC-BY-4.0", patterns={"speaker": re.compile("^([a-z]+)/utt")}
)
NO_ACCENT = Options(licence="CC-BY-4.0")
ROW = 3  # the one that is broken, on line 4: the second of bob's


def speech(seconds: float, *, seed: int) -> Waveform:
    """Return what all checks take for clean speech: syllables of noise and tones, and pauses."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * 16_000)) / 16_000
    syllables = np.clip(np.sin(2 * np.pi * 2.5 * time_s + 0.3 * seed), 0, None)
    tones = sum(np.sin(2 * np.pi * 130 * (k + 0.01 * seed) * time_s) for k in (1, 2, 3))
    voice = 0.1 * tones + 0.05 * rng.standard_normal(len(time_s))
    return np.asarray(syllables * voice + 2e-4 * rng.standard_normal(len(time_s)), dtype=np.float32)


def hiss(seconds: float) -> Waveform:
    noise = np.random.default_rng(0).standard_normal(round(seconds * 16_000))
    return np.asarray(2e-4 * noise, dtype=np.float32)


class Planted(NamedTuple):
    """What was found after a fault was planted, and what should have been.

    Attributes:
        faults: All that was found.
        place: Where the fault is.
        value: What its message must hold.
        utterance: Whose fault it is; None for one of several, or of none.
        also: Kinds that cannot but come with it.
    """

    faults: tuple[Fault, ...]
    place: str
    value: str
    utterance: str | None = None
    also: frozenset[str] = frozenset()


@dataclass
class Plot:
    """A clean corpus, in which a test breaks one thing."""

    root: Path
    rows: list[dict[str, Any]]
    store: Path
    model: Callable[[str], SpeechModel]

    def change(self, number: int = ROW, **changes: Any) -> None:
        """Change fields of a row; None removes one."""
        row = {**self.rows[number], **changes}
        self.rows[number] = {name: value for name, value in row.items() if value is not None}

    def record(
        self, waveform: npt.NDArray[np.float32], number: int = ROW, *, rate: int = 16_000
    ) -> Path:
        """Give a row another recording, with the samples as they are."""
        path = self.root / f"new-{number}.wav"
        soundfile.write(path, waveform, rate, subtype="FLOAT")
        self.change(number, audio=str(path))
        return path

    def write(self) -> Path:
        path = self.root / "manifest.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in self.rows))
        return path

    def check(self, source: Path | None = None, **options: Any) -> Findings:
        reading = sources.read(source or self.write(), options=options.pop("said", None))
        store = self.store if options.get("recordings", True) else None
        return check(reading, **{"store": store, "workers": 1, **options})

    def planted(self, value: str, number: int = ROW, **options: Any) -> Planted:
        """Return what is found of a fault in one row."""
        found = self.check(**options)
        name = self.rows[number].get("id")
        return Planted(found.faults, f"manifest.jsonl:{number + 1}", value, name)

    # --- the same corpus as others have it

    def write_csv(self, columns: Iterable[str] | None = None) -> Path:
        names = [*self.rows[0]] if columns is None else [*columns]
        path = self.root / "table.csv"
        lines = [",".join(f'"{row[name]}"' for name in self.rows[0]) for row in self.rows]
        path.write_text("\n".join([",".join(names), *lines]) + "\n")
        return path

    def write_kaldi(self) -> Path:
        files = {
            "wav.scp": "audio", "text": "text", "utt2spk": "speaker", "utt2accent": "accent",
        }  # fmt: skip
        for name, field in files.items():
            lines = [f"{row['id']} {row[field]}\n" for row in self.rows]
            (self.root / name).write_text("".join(lines))
        return self.root

    def write_folder(self) -> Path:
        for row in self.rows:
            folder = self.root / row["speaker"]
            folder.mkdir(exist_ok=True)
            (folder / f"{row['id']}.wav").symlink_to(row["audio"])
            (folder / f"{row['id']}.txt").write_text(row["text"])
        return self.root

    def write_common_voice(self) -> Path:
        (self.root / "clips").mkdir()
        lines = ["client_id\tpath\tsentence\taccents\tgender"]
        for row in self.rows:
            (self.root / "clips" / f"{row['id']}.wav").symlink_to(row["audio"])
            cells = (row["speaker"], f"{row['id']}.wav", row["text"], row.get("accent", ""), "")
            lines.append("\t".join(cells))
        (self.root / "validated.tsv").write_text("\n".join(lines) + "\n")
        return self.root

    def part(self, *, test: int = 6) -> None:
        """Split the corpus, of one accent, with times of half a minute for each utterance."""
        for number, row in enumerate(self.rows):
            speaker = SPEAKERS.index(row["speaker"])
            split = "test" if speaker < test else "dev" if speaker < 8 else "train"
            row.update(accent="scottish", split=split, start=0.0, end=30.0)
            assert self.rows[number]["split"] == split


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], Path]:
    """Return the rows of a clean corpus, and the file that keeps what its recordings tell."""
    root = tmp_path_factory.mktemp("clean")
    rows = []
    for number, text in enumerate(TEXTS):
        path = root / f"utt-{number:02d}.wav"
        write(path, speech(1.6, seed=number))
        speaker = SPEAKERS[number // 2]
        rows.append(
            {
                "id": path.stem,
                "audio": str(path),
                "text": text,
                "speaker": speaker,
                "accent": "scottish" if number < 12 else "irish",
                "licence": "CC-BY-4.0",
                "sex": "f" if number // 2 % 2 else "m",
            }
        )
    return rows, root / "store.jsonl"


@pytest.fixture(scope="session")
def starters() -> Callable[[str], SpeechModel]:
    """Return a function from a family to its starter model, loaded once."""
    loaded: dict[str, SpeechModel] = {}

    def of(family: str) -> SpeechModel:
        if family not in loaded:
            loaded[family] = models.load(f"starter-{family}", device="cpu")
        return loaded[family]

    return of


@pytest.fixture
def plot(
    clean: tuple[list[dict[str, Any]], Path],
    starters: Callable[[str], SpeechModel],
    tmp_path: Path,
) -> Plot:
    return Plot(tmp_path, [dict(row) for row in clean[0]], clean[1], starters)


Plant = Callable[[Plot], Planted]
PLANTS: dict[str, Plant] = {}


def plant(function: Plant) -> Plant:
    """Keep a function under the kind that it is named after."""
    PLANTS[function.__name__.replace("_", "-")] = function
    return function


# --- one field of one row: what it becomes, and what the message must hold

FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    "field-missing": ({"audio": None}, "'audio'"),
    "field-empty": ({"audio": " "}, "audio"),
    "text-empty": ({"text": " "}, "the transcript (text)"),
    "speaker-missing": ({"speaker": None}, "'speaker'"),
    "accent-missing": ({"accent": ""}, "accent"),
    "field-type": ({"text": 1984}, "1984 (int)"),
    "bad-unicode": ({"text": "a smile \ud83d"}, "'a smile \\ud83d'"),
    "id-repeated": ({"id": "utt-00"}, "manifest.jsonl:1"),
    "audio-missing": ({"audio": "gone.wav"}, "'gone.wav'"),
    "audio-outside": ({"audio": "../other/a.wav"}, "'../other/a.wav'"),
    "audio-path": ({"audio": "."}, "'.' is a folder"),
    "time-missing": ({"end": 1.5}, "start and end must be given both"),
    "time-value": ({"start": -1, "end": 1.5}, "-1, 1.5"),
    "time-order": ({"start": 1.5, "end": 0.5}, "start 1.5 s and end 0.5 s"),
    "split-unknown": ({"split": "validation"}, "'validation'"),
    "audio-times": ({"start": 0.5, "end": 9.5}, "end 9.5 s, but the recording has 1.600 s"),
    "licence-missing": ({"licence": None}, "1 of 24 utterances"),
    "licence-restricted": ({"licence": "CC-BY-NC-4.0"}, "'CC-BY-NC-4.0', of 1 utterance"),
    "text-no-words": ({"text": "?!"}, "'?!'"),
    "text-placeholder": ({"text": "N/A"}, "'N/A'"),
    "text-markup": ({"text": "a dog [barks] ran up"}, "'[barks]'"),
    "text-digits": ({"text": "we met in 1984 or so"}, "'1984'"),
    "text-encoding": ({"text": "a caf\u00c3\u00a9 by the sea"}, "'\u00c3\u00a9'"),
    "text-invisible": ({"text": "a dog\u200b ran uphill"}, "U+200B ZERO WIDTH SPACE"),
    "text-spaces": ({"text": "a dog  ran uphill"}, "'a dog  ran uphill'"),
    "text-composition": ({"text": "a cafe\u0301 by the sea"}, "'a cafe\\u0301 by the sea'"),
    "text-letters": ({"text": "a d\u043eg ran uphill"}, "U+043E CYRILLIC SMALL LETTER O"),
    "fit-fast": (
        {"text": " ".join(["a dog ran up the hill and down again"] * 2)},
        "56 characters in 1.",
    ),
}


def _in_field(changes: dict[str, Any], value: str) -> Plant:
    def planted(plot: Plot) -> Planted:
        plot.change(**changes)
        return plot.planted(value)

    return planted


PLANTS.update({kind: _in_field(*given) for kind, given in FIELDS.items()})


# --- sources


@plant
def source_missing(plot: Plot) -> Planted:
    (plot.write_kaldi() / "text").unlink()
    return Planted(plot.check(plot.root).faults, "text", "not there")


@plant
def not_utf8(plot: Plot) -> Planted:
    lines = plot.write().read_bytes().split(b"\n")
    lines[ROW] = lines[ROW].replace(b"rain", b"caf\xe9")
    path = plot.root / "latin.jsonl"
    path.write_bytes(b"\n".join(lines))
    return Planted(plot.check(path).faults, "latin.jsonl:4", "byte 0xe9")


@plant
def malformed(plot: Plot) -> Planted:
    path = plot.write()
    broken = plot.root / "broken.jsonl"
    broken.write_text(path.read_text().replace('"utt-03"', '"utt-03'))
    return Planted(plot.check(broken).faults, "broken.jsonl:4", "is not JSON")


@plant
def cell_count(plot: Plot) -> Planted:
    path = plot.write_csv()
    path.write_text(path.read_text().replace('"rain fell all morning"', "rain, all morning"))
    return Planted(
        plot.check(path).faults, "table.csv:5", "must have 7 cells as the header has, got 8"
    )


@plant
def column_missing(plot: Plot) -> Planted:
    path = plot.write_csv([name if name != "text" else "what" for name in plot.rows[0]])
    return Planted(plot.check(path).faults, "table.csv:1", "the text has no column")


@plant
def column_repeated(plot: Plot) -> Planted:
    path = plot.write_csv([name if name != "sex" else "text" for name in plot.rows[0]])
    return Planted(plot.check(path).faults, "table.csv:1", "'text'")


@plant
def empty_source(plot: Plot) -> Planted:
    plot.rows.clear()
    path = plot.write()
    return Planted(plot.check(path).faults, str(path), "no utterance")


@plant
def audio_unused(plot: Plot) -> Planted:
    (plot.write_folder() / "bob" / "utt-03.txt").unlink()
    found = plot.check(plot.root, said=SAID)
    return Planted(found.faults, "bob/utt-03.wav", "no transcript of this recording")


@plant
def reference_missing(plot: Plot) -> Planted:
    text = plot.write_kaldi() / "text"
    text.write_text(text.read_text() + "utt-99 nobody said this\n")
    found = plot.check(plot.root, said=SAID)
    return Planted(found.faults, "text:25", "wav.scp has no 'utt-99'", "utt-99")


@plant
def name_ambiguous(plot: Plot) -> Planted:
    recording = plot.write_folder() / "bob" / "utt-03.wav"
    recording.with_suffix(".flac").write_bytes(recording.read_bytes())
    found = plot.check(plot.root, said=SAID)
    return Planted(found.faults, "bob/utt-03.txt", "bob/utt-03.flac, bob/utt-03.wav", "bob-utt-03")


@plant
def accent_unlabelled(plot: Plot) -> Planted:
    plot.change(accent=None)
    found = plot.check(plot.write_common_voice(), said=NO_ACCENT)
    return Planted(found.faults, "validated.tsv", "1 of 24 rows")


@plant
def sentence_reported(plot: Plot) -> Planted:
    text = plot.rows[ROW]["text"]
    reported = plot.write_common_voice() / "reported.tsv"
    reported.write_text(f"sentence\treason\n{text}\toffensive\n")
    found = plot.check(plot.root, said=NO_ACCENT)
    return Planted(found.faults, "validated.tsv", "1 of 24 rows")


# --- transcripts of several rows, and stretches of recordings


@plant
def text_case(plot: Plot) -> Planted:
    for number, row in enumerate(plot.rows):
        plot.change(number, text=row["text"].upper())
    return plot.planted("24 of 24 transcripts", number=0)


@plant
def text_repeated(plot: Plot) -> Planted:
    for number in (1, 2):
        plot.change(number, speaker="ann", sex="m", text=plot.rows[0]["text"])
    return plot.planted("'the cat sat on the mat' 3 times: also utt-01, utt-02", number=0)


@plant
def segment_repeated(plot: Plot) -> Planted:
    plot.change(audio=plot.rows[0]["audio"])
    return plot.planted("utterance 'utt-00' (manifest.jsonl:1) too")


@plant
def segment_overlap(plot: Plot) -> Planted:
    plot.change(2, start=0.0, end=1.0)
    plot.change(audio=plot.rows[2]["audio"], start=0.75, end=1.6)
    return plot.planted("from 0.75 s to 1.6 s overlaps with utterance 'utt-02' (manifest.jsonl:3)")


# --- recordings


@plant
def audio_unreadable(plot: Plot) -> Planted:
    plot.record(speech(1.6, seed=50)).write_bytes(b"this is no recording at all" * 100)
    return plot.planted("new-3.wav: cannot be decoded")


@plant
def audio_truncated(plot: Plot) -> Planted:
    path = plot.record(speech(1.6, seed=50))
    path.write_bytes(path.read_bytes()[:60_000])
    return plot.planted("of 102400 bytes of samples are there")


@plant
def audio_empty(plot: Plot) -> Planted:
    plot.record(speech(0, seed=50))
    return plot.planted("holds no samples (0 s)")


@plant
def audio_not_finite(plot: Plot) -> Planted:
    waveform = speech(1.6, seed=50)
    waveform[100:103] = np.nan
    plot.record(waveform)
    return plot.planted("holds 3 NaN or infinite values")


@plant
def audio_silent(plot: Plot) -> Planted:
    plot.record(np.zeros(25_600, np.float32))
    return plot.planted("all samples are equal")


@plant
def audio_clipped(plot: Plot) -> Planted:
    plot.record(np.clip(6 * speech(1.6, seed=50), -0.9, 0.9))
    return plot.planted("peak at 0.90 with")


@plant
def audio_offset(plot: Plot) -> Planted:
    plot.record(speech(1.6, seed=50) + np.float32(0.05))
    return plot.planted("mean is +0.05")


@plant
def audio_quiet(plot: Plot) -> Planted:
    plot.record(speech(1.6, seed=50) * np.float32(0.01))
    return plot.planted("speech lies at -6")


@plant
def audio_noisy(plot: Plot) -> Planted:
    plot.record(speech(1.6, seed=50) + 400 * hiss(1.6))
    return plot.planted("signal-to-noise ratio is about")


@plant
def audio_rate(plot: Plot) -> Planted:
    for number in range(len(plot.rows)):
        plot.record(speech(3.2, seed=number)[::2], number, rate=8_000)
    found = plot.check().faults
    return Planted(found, "manifest.jsonl:1", "24 of 24 recordings have less than 16000 Hz")


@plant
def audio_rates_mixed(plot: Plot) -> Planted:
    plot.record(speech(3.2, seed=50)[::2], rate=8_000)
    found = plot.check().faults
    # A mixture without a rate below 16 kHz is none.
    also = frozenset({"audio-rate"})
    told = "1 of 8000 Hz, 23 of 16000 Hz or more"
    return Planted(found, "manifest.jsonl:4", told, also=also)


@plant
def audio_band(plot: Plot) -> Planted:
    spectrum = np.fft.rfft(speech(1.6, seed=50))
    spectrum[round(3_400 * 1.6) :] = 0
    plot.record(np.fft.irfft(spectrum).astype(np.float32))
    return plot.planted("at a sample rate of 16000 Hz")


@plant
def audio_channels(plot: Plot) -> Planted:
    plot.record(np.stack([speech(1.6, seed=50), speech(1.6, seed=51)], axis=1))
    return plot.planted("2 channels, of whose power their mean has 5")


@plant
def audio_suffix(plot: Plot) -> Planted:
    path = plot.root / "new.mp3"
    soundfile.write(path, speech(1.6, seed=50), 16_000, format="FLAC")
    plot.change(audio=str(path))
    return plot.planted("new.mp3 is FLAC")


@plant
def audio_short(plot: Plot) -> Planted:
    plot.record(speech(1.6, seed=50)[:399])
    plot.change(text="a")
    return plot.planted("it has 399 samples")


@plant
def audio_brief(plot: Plot) -> Planted:
    plot.record(speech(1.6, seed=50)[:4_000])
    plot.change(text="yes")
    return plot.planted("it has 0.25 s")


@plant
def audio_long(plot: Plot) -> Planted:
    plot.record(speech(30.5, seed=50))
    plot.change(text=" ".join(["a dog ran up the hill and down again"] * 5))
    return plot.planted("it has 30.5 s")


@plant
def audio_pauses(plot: Plot) -> Planted:
    plot.record(np.concatenate([hiss(2.5), speech(1.6, seed=50)]))
    return plot.planted("2.5 s before the speech")


@plant
def audio_repeated(plot: Plot) -> Planted:
    plot.record(soundfile.read(plot.rows[0]["audio"], dtype="float32")[0])
    plot.change(text=plot.rows[0]["text"])
    return plot.planted("those of 'utt-00' (manifest.jsonl:1)")


@plant
def audio_conflict(plot: Plot) -> Planted:
    plot.record(soundfile.read(plot.rows[0]["audio"], dtype="float32")[0])
    return plot.planted("'the cat sat on the mat', and here 'rain fell all morning'")


@plant
def fit_slow(plot: Plot) -> Planted:
    plot.record(speech(6.0, seed=50))
    plot.change(text="a dog")
    return plot.planted("4 characters in ")


# --- people


@plant
def speaker_variants(plot: Plot) -> Planted:
    plot.change(speaker="Bob ")
    return plot.planted("speakers 'bob', 'Bob ' look like one", number=2)


@plant
def accent_variants(plot: Plot) -> Planted:
    for number in range(12, 24):
        plot.change(number, accent="Scottish")
    return plot.planted("accents 'scottish', 'Scottish' look like one", number=0)


@plant
def speaker_accents(plot: Plot) -> Planted:
    plot.change(accent="irish")
    return plot.planted("speaker 'bob' has 2: irish, scottish", number=2)


@plant
def speaker_sexes(plot: Plot) -> Planted:
    plot.change(sex="m")
    return plot.planted("speaker 'bob' has 2: f, m", number=2)


@plant
def speaker_each_own(plot: Plot) -> Planted:
    for number, row in enumerate(plot.rows):
        plot.change(number, speaker=row["id"])
    return plot.planted("24 utterances have as many speakers", number=0)


@plant
def speakers_few(plot: Plot) -> Planted:
    del plot.rows[16:]
    return plot.planted("accent 'irish' has 2 speakers: gus, hal", number=12)


# --- splits: a test set of six speakers and six minutes, in which only times are known


def _of_splits(plot: Plot, place: str, value: str) -> Planted:
    return Planted(plot.check(recordings=False).faults, place, value)


@plant
def split_speaker(plot: Plot) -> Planted:
    plot.part()
    plot.change(23, split="test")
    return _of_splits(plot, "splits train and test", "speaker 'lea' is in both")


@plant
def split_prompt(plot: Plot) -> Planted:
    plot.part()
    plot.change(text=plot.rows[23]["text"])
    return _of_splits(
        plot, "splits train and test", "1 of 12 (8.3 %) utterances of test: utt-03 as utt-23"
    )


@plant
def text_near(plot: Plot) -> Planted:
    plot.part()
    plot.change(text="the moon that we saw rose at seven o'clock sharp")
    plot.change(23, text="the moon that we saw rose at eight o'clock sharp")
    return _of_splits(plot, "splits train and test", "utterances of test: utt-03 as utt-23")


@plant
def split_partial(plot: Plot) -> Planted:
    plot.part()
    plot.change(23, split=None)
    return _of_splits(plot, "accent 'scottish'", "1 of 24 utterances have no split: utt-23")


@plant
def split_empty(plot: Plot) -> Planted:
    plot.part()
    plot.rows = [row for row in plot.rows if row["split"] != "dev"]
    return _of_splits(plot, "accent 'scottish'", "no utterance in dev")


@plant
def split_small(plot: Plot) -> Planted:
    plot.part(test=5)
    return _of_splits(plot, "accent 'scottish'", "test has 5.00 minutes of 5 speakers")


@plant
def split_audio(plot: Plot) -> Planted:
    plot.part()
    for number in range(len(plot.rows)):
        plot.change(number, start=None, end=None)
    plot.record(soundfile.read(plot.rows[23]["audio"], dtype="float32")[0])
    plot.change(text=plot.rows[23]["text"])
    found = plot.check().faults
    # A copy has the same sentence, else the two transcripts are at odds; 19 s of test are few.
    also = frozenset({"split-prompt", "split-small"})
    told = "those of 'utt-03' (manifest.jsonl:4), which is in test; this one is in train"
    return Planted(found, "manifest.jsonl:24", told, "utt-23", also)


# --- models


def _of_model(plot: Plot, family: str, value: str) -> Planted:
    """Return what a model finds in the texts and the times: its ears are the outliers' test."""
    for number in range(len(plot.rows)):
        plot.change(number, start=0.0, end=1.6)
    return plot.planted(value, recordings=False, model=plot.model(family))


@plant
def text_vocabulary(plot: Plot) -> Planted:
    plot.change(text="we drank tea with J\u00fcrgen")
    return _of_model(plot, "wav2vec2", "'\u00fc' (U+00FC), in 'we drank tea with J\u00fcrgen'")


@plant
def fit_frames(plot: Plot) -> Planted:
    plot.change(text=" ".join(["a dog ran up the hill and down again"] * 4))
    return _of_model(plot, "wav2vec2", "25600 samples of audio give 52 frames, but 147 labels")


@plant
def fit_tokens(plot: Plot) -> Planted:
    plot.change(text=" ".join(["a dog ran up the hill and down again"] * 10))
    return _of_model(plot, "whisper", "tokens, starter-whisper takes at most 96")


@plant
def fit_outlier(plot: Plot) -> Planted:
    spoken = starter.load().where(accent="general", split="train")[::10][:24]
    for number, each in enumerate(spoken):
        plot.change(number, audio=str(each.audio), text=each.text)
    plot.change(text=spoken[4].text)
    told = "and starter-wav2vec2 hears 'he was the nineth gardener"
    return plot.planted(told, model=plot.model("wav2vec2"))


# --- the tests


def test_every_kind_is_planted() -> None:
    assert set(PLANTS) == set(KINDS)


def test_a_clean_corpus_has_no_fault(plot: Plot) -> None:
    assert plot.check().faults == ()
    plot.part()
    assert plot.check(recordings=False).faults == ()


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_fault_is_found_where_it_is_and_no_other_is(kind: str, plot: Plot) -> None:
    planted = PLANTS[kind](plot)
    found = [fault for fault in planted.faults if fault.kind == kind]
    assert [(each.place, each.utterance) for each in found] == [(planted.place, planted.utterance)]
    assert planted.value in found[0].message
    assert str(found[0]).endswith(f"{found[0].message}; {KINDS[kind].remedy}")
    assert {each.kind for each in planted.faults} == {kind, *planted.also}


@pytest.mark.parametrize(
    ("kind", "source", "said"),
    [
        ("speaker-missing", "manifest.jsonl", Options(speaker="bob")),
        ("accent-missing", "manifest.jsonl", Options(accent="scottish")),
        ("licence-missing", "manifest.jsonl", Options(licence="CC-BY-4.0")),
        ("column-missing", "table.csv", Options(columns={"text": "what"})),
        ("accent-unlabelled", ".", Options(accent="scottish", licence="CC-BY-4.0")),
    ],
)
def test_the_option_that_a_remedy_names_mends_it(
    kind: str, source: str, said: Options, plot: Plot
) -> None:
    assert PLANTS[kind](plot).faults
    assert plot.check(plot.root / source, said=said).faults == ()


@pytest.mark.parametrize(
    ("kind", "spelling"),
    [
        ("text-case", Spelling(case="lower")),
        ("text-invisible", Spelling()),
        ("text-spaces", Spelling()),
        ("text-composition", Spelling()),
    ],
)
def test_the_spelling_that_a_remedy_names_mends_it(
    kind: str, spelling: Spelling, plot: Plot
) -> None:
    assert PLANTS[kind](plot).faults
    for number, row in enumerate(plot.rows):
        plot.change(number, text=spelling(row["text"])[0])
    assert plot.check().faults == ()
