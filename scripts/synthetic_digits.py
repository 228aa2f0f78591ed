"""Make synthetic speech for adapting a starter model to strings of digits spoken by people.

    python scripts/synthetic_digits.py --output FOLDER
    python scripts/synthetic_digits.py --output FOLDER --with digits/manifest.jsonl

Needs espeak-ng and flite (Debian packages), and a minute or two for each thousand recordings. The
folder gets `audio/`, and `manifest.jsonl` of strings of five digits: said one by one by
synthesisers' voices, each through a microphone, a room, a noise and a level of its own, at 8 kHz.
Its splits share no voice.

`--sentences` adds `general.jsonl`: the starter's general corpus, and new sentences by the voices
that the starter models learnt from in its train split, so that a long training has enough to
replay.

`--with` adds a manifest for each of the real speakers, `leave-out-SPEAKER.jsonl`, for one training
that holds both: that speaker is its test, the next one by name its dev, and all others train, with
all synthetic voices.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

sys.path.insert(0, str(Path(__file__).resolve().parent))

from starter import variants
from starter.plan import Planned, pretraining_plan
from starter.recordings import LICENCE
from starter.synthesis import SAMPLE_RATE, Waveform, _espeak, _flite, recording
from starter.voices import TRAIN, Voice

from speechtl.corpora import starter as starter_corpus
from speechtl.corpus import Corpus, Utterance
from speechtl.errors import ConfigError, DataError, SpeechtlError
from speechtl.manifest import read_manifest, write_manifest

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ENGLISH = (
    *("en-us", "en-gb-x-rp", "en-gb", "en-us-nyc", "en-gb-scotland", "en-gb-x-gbclan"),
    *("en-gb-x-gbcwmd", "en-029"),
)
# What a speaker of another language may make of the English words, in that language's spelling.
SPELLED = {
    "de": "sierroh wann tuh srieh foor faiw six ssewwen eht nain",
    "fr": "ziro ouane tou sri for faïve six sévèn éït naïne",
    "nl": "zierro wan toe srie foor faif siks sevven eet nain",
    "it": "siro uan tu tri for faiv sics seven eit nain",
    "es": "siro uan tu zri for faif six seven eit nain",
    "sv": "siero oann toh tri fåår fajv six sevven ejt najn",
    "pl": "ziroł łan tu tri for fajw syks sewen ejt najn",
    "pt": "zirou uane tu tri fór faive six sévene eite naine",
}
FLITE = ("slt", "rms", "kal16", "awb", "kal")
FLITE_SHARE = 0.25
FOREIGN_SHARE = 0.25
LENGTH = 5
RATE = 8_000
TAKES = 2  # recordings of each digit by one voice
TIMBRES = 80  # random variants of espeak-ng
STARTER_SEED, HEARD = 2026, 40_000  # as in build_starter.py: what the models learnt from
HELD_OUT_SHARE = 1 / 30  # of the voices, for dev and again for test


@dataclass(frozen=True, slots=True)
class Speaker:
    """One synthetic speaker and the strings to be said.

    Attributes:
        index: Its number among the voices; it draws all that is the speaker's own.
        voice: Who speaks.
        split: `train`, `dev` or `test`.
        strings: How many strings it says.
        seed: Of the whole corpus.
    """

    index: int
    voice: Voice
    split: str
    strings: int
    seed: int

    @property
    def id(self) -> str:
        """The speaker id of the manifest: voices of one name differ in pitch and formants."""
        return f"v{self.index:03d}/{self.voice.id}"

    @property
    def sex(self) -> str | None:
        """The sex that espeak-ng's variant is named after; None where it says none."""
        # flite's people have one, but their voices are moved too far from what they were.
        timbre = self.voice.name.partition("+")[2]
        if timbre[1:].isdigit():
            return {"f": "female", "m": "male"}.get(timbre[:1])
        return None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a speaker is recorded.

    Attributes:
        gain: The microphone's gain, 257 bins from 0 to 4 kHz.
        room: The room's impulse response at 8 kHz; None is none.
        noise_db: White noise's level against the digit's.
        level_db: Mean level of a string (dBFS).
    """

    gain: npt.NDArray[np.float64]
    room: npt.NDArray[np.float64] | None
    noise_db: float
    level_db: float


def require_programs() -> None:
    """Raise unless espeak-ng and flite can be run.

    Raises:
        ConfigError: One of them, or both, is missing.
    """
    missing = [name for name in ("espeak-ng", "flite") if shutil.which(name) is None]
    if missing:
        raise ConfigError(
            f"{' and '.join(missing)} must be installed to speak the strings, and cannot be found; "
            "install the Debian packages: apt-get install espeak-ng flite"
        )


def plan(voices: int, *, strings: int, seed: int) -> list[Speaker]:
    """Return the speakers; a thirtieth of them, at least one, is for dev and as many for test."""
    held_out = max(1, round(voices * HELD_OUT_SHARE))
    rng = np.random.default_rng(seed)
    speakers = []
    for index in range(voices):
        left = voices - index
        split = "test" if left <= held_out else "dev" if left <= 2 * held_out else "train"
        speakers.append(Speaker(index, _voice(index, rng), split, strings, seed))
    return speakers


def _voice(index: int, rng: np.random.Generator) -> Voice:
    kind = rng.random()
    if kind < FLITE_SHARE:
        return Voice("flite", FLITE[rng.integers(len(FLITE))])
    languages = tuple(SPELLED) if kind < FLITE_SHARE + FOREIGN_SHARE else ENGLISH
    # The first of TRAIN is espeak-ng's plain voice, which has no name.
    known = TRAIN[1 + rng.integers(len(TRAIN) - 1)]
    timbre = f"random{index % TIMBRES:03d}" if rng.random() < 0.75 else known
    return Voice("espeak", f"{languages[rng.integers(len(languages))]}+{timbre}")


def _takes(voice: Voice, rng: np.random.Generator) -> list[list[Waveform]]:
    """Return for each digit what the voice said of it: trimmed, 8 kHz."""
    spelled = SPELLED.get(voice.name.partition("+")[0], " ".join(DIGITS)).split()
    speak = _flite if voice.engine == "flite" else _espeak
    spread = (0.84, 1.2) if voice.engine == "flite" else (0.94, 1.06)
    warp = rng.uniform(*spread)
    takes: list[list[Waveform]] = [[] for _ in DIGITS]
    for _ in range(TAKES):
        for digit, word in enumerate(spelled):
            waveform, rate = speak(voice.name, word, rng)
            if not len(waveform) or not np.abs(waveform).max():
                raise DataError(f"{voice.id}: nothing is heard of {word!r}; leave the voice out")
            # A rate that is not the recording's own moves pitch, formants and tempo together.
            moved = soxr.resample(waveform, rate * warp * rng.uniform(0.97, 1.03), RATE)
            loud = np.flatnonzero(np.abs(moved) > 0.015 * np.abs(moved).max())
            takes[digit].append(moved[loud[0] : loud[-1] + 1].astype(np.float32))
    return takes


def _place(rng: np.random.Generator) -> Place:
    points = np.cumsum(rng.normal(0, 2.5, 8))
    curve_db = np.interp(np.linspace(0, 7, 257), np.arange(8), points - points.mean())
    hz = np.linspace(0, RATE / 2, 257)
    gain = 10 ** (curve_db / 20) * hz / (hz + rng.uniform(40, 220))
    level_db, noise_db = rng.uniform(-42, -18), rng.uniform(-50, -18)
    return Place(gain, _room(rng) if rng.random() < 0.5 else None, noise_db, level_db)


def _room(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return an impulse response: the direct sound, and noise that decays in 0.05 to 0.25 s."""
    tail = rng.standard_normal(int(rng.uniform(0.05, 0.25) * RATE))
    tail *= np.exp(-6.9 * np.arange(len(tail)) / len(tail))
    tail *= rng.uniform(0.1, 0.5) / np.sqrt(np.sum(tail**2))
    gap = np.zeros(int(rng.uniform(0.002, 0.01) * RATE))
    return np.concatenate([[1.0], gap, tail])


def _recorded(word: Waveform, place: Place, rng: np.random.Generator) -> Waveform:
    """Return one digit as it is heard at the place, its mean level near 0 dB."""
    size = len(word) + 1024
    spectrum = np.fft.rfft(word, size)
    spectrum *= np.interp(np.linspace(0, 256, len(spectrum)), np.arange(257), place.gain)
    heard = np.fft.irfft(spectrum, size)[: len(word) + 160]
    if place.room is not None:
        dry, size = len(heard), len(heard) + len(place.room)
        heard = np.fft.irfft(np.fft.rfft(heard, size) * np.fft.rfft(place.room, size), size)
        heard = heard[: dry + 400]
    heard = heard / max(np.sqrt(np.mean(heard**2)), 1e-9) * 10 ** (rng.normal(0, 2) / 20)
    heard += rng.standard_normal(len(heard)) * 10 ** (place.noise_db / 20)
    # Recordings of single digits are cut close: a word may lose a little of its ends.
    before, after = (int(rng.uniform(0, 0.03) * RATE) for _ in range(2))
    return np.asarray(heard[before : len(heard) - after], dtype=np.float32)


def _string(
    takes: Sequence[Sequence[Waveform]],
    digits: Sequence[int],
    *,
    place: Place,
    rng: np.random.Generator,
) -> Waveform:
    """Return the digits joined by silence, 8 kHz, peak at most 0.98."""
    pieces = [np.zeros(int(rng.uniform(0.03, 0.2) * RATE), np.float32)]
    for digit in digits:
        word = takes[digit][int(rng.integers(len(takes[digit])))]
        if rng.random() < 0.5:
            word = soxr.resample(word, RATE, RATE * rng.uniform(0.85, 1.2))
        pieces.append(_recorded(word, place, rng))
        pieces.append(np.zeros(int(rng.uniform(0.06, 0.2) * RATE), np.float32))
    waveform = np.concatenate(pieces)
    level_db = place.level_db + rng.normal(0, 2)
    waveform *= 10 ** (level_db / 20) / np.sqrt(np.mean(waveform**2))
    return waveform * np.float32(min(1, 0.98 / np.abs(waveform).max()))


def _texts(strings: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """Yield strings of digits: most hold each digit as often as any other, as a person's do."""
    order: list[int] = []
    for _ in range(strings):
        if len(order) < LENGTH:
            order += rng.permutation(len(DIGITS)).tolist()
        digits, order = order[:LENGTH], order[LENGTH:]
        yield rng.integers(0, len(DIGITS), LENGTH).tolist() if rng.random() < 0.3 else digits


def _spoken(speaker: Speaker, folder: Path) -> list[Utterance]:
    """Write a speaker's recordings to `folder/audio`, and return their utterances."""
    rng = np.random.default_rng([speaker.seed, speaker.index])
    takes, place = _takes(speaker.voice, rng), _place(rng)
    utterances = []
    for number, digits in enumerate(_texts(speaker.strings, rng)):
        name = f"v{speaker.index:03d}-{number:02d}"
        path = folder / "audio" / f"{name}.flac"
        soundfile.write(path, _string(takes, digits, place=place, rng=rng), RATE)
        utterances.append(
            Utterance(
                id=name,
                audio=path,
                text=" ".join(DIGITS[digit] for digit in digits),
                speaker=speaker.id,
                accent="digits",
                split=speaker.split,
                licence=LICENCE,
                sex=speaker.sex,
            )
        )
    return utterances


def _sentence(planned: Planned, folder: Path) -> list[Utterance]:
    """Write one sentence by a voice of the starter models, and return its utterance."""
    path = folder / "audio" / f"{planned.id}.flac"
    waveform = recording(planned.voice, planned.text, np.random.default_rng(planned.seed))
    soundfile.write(path, waveform, SAMPLE_RATE)
    return [
        Utterance(
            id=planned.id,
            audio=path,
            text=planned.text,
            speaker=planned.voice.id,
            accent="general",
            split="train",
            licence=LICENCE,
        )
    ]


def _made(job: tuple[Callable[..., list[Utterance]], Speaker | Planned, Path]) -> list[Utterance]:
    make, what, folder = job
    return make(what, folder)


def _all_made(
    make: Callable[..., list[Utterance]], plans: Iterable[Speaker | Planned], folder: Path
) -> Corpus:
    """Return the utterances of all plans, in their order, made by one process per core."""
    with get_context("spawn").Pool() as pool:
        jobs = ((make, each, folder) for each in plans)
        made = pool.imap(_made, jobs, chunksize=8)
        return Corpus(utterance for utterances in made for utterance in utterances)


def _speak_with(home: Path, *, seed: int) -> None:
    """Let espeak-ng, in this process and those it starts, know the random variants of a seed."""
    # Else what was written for another seed would be taken for what is installed.
    os.environ.pop("ESPEAK_DATA_PATH", None)
    variants.write(home, seed=seed)
    os.environ["ESPEAK_DATA_PATH"] = str(home)


def synthesise(folder: Path, *, voices: int, strings: int, seed: int, sentences: int = 0) -> Corpus:
    """Write the recordings, `manifest.jsonl` and maybe `general.jsonl`; return the strings.

    Args:
        folder: Where to; what lies there under the same names is replaced.
        voices: How many speakers.
        strings: How many strings each says.
        seed: Draws everything: the same numbers give the same recordings with the same versions of
            espeak-ng and flite.
        sentences: How many general sentences to add to the starter's, for replay: those that come
            after what the starter models learnt from, whatever the seed; 0: none.

    Raises:
        ConfigError: A number is too small, or espeak-ng or flite is missing.
    """
    if voices < 3 or strings < 1 or sentences < 0:
        raise ConfigError(
            "there must be at least 3 voices (one each for train, dev and test), 1 string of each "
            f"and no fewer than 0 sentences, got {voices}, {strings} and {sentences}"
        )
    require_programs()
    folder = folder.resolve()
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    _speak_with(folder / "espeak", seed=1000 + seed)
    corpus = _all_made(_spoken, plan(voices, strings=strings, seed=seed), folder)
    write_manifest(corpus, folder / "manifest.jsonl")
    if sentences:
        _speak_with(folder / "espeak-starter", seed=STARTER_SEED)
        following = islice(pretraining_plan(STARTER_SEED), HEARD, HEARD + sentences)
        new = _all_made(_sentence, following, folder)
        general = starter_corpus.load().where(accent="general")
        write_manifest(general + new, folder / "general.jsonl")
    return corpus


def together(synthetic: Corpus, people: Corpus, *, leave_out: str, repeat: int = 1) -> Corpus:
    """Return one training's utterances: all synthetic voices, and people in all three splits.

    Args:
        synthetic: The synthetic strings.
        people: The real recordings, of any accent and splits.
        leave_out: The person to be tested. The next one by name is dev, after the last the first.
        repeat: How often each recording that people train on is there, so that a few of them are
            not lost among the synthetic ones; augmentation makes each another.

    Raises:
        ConfigError: There is no such person, fewer than three people, or no repetition.
    """
    names = people.speakers
    if leave_out not in names:
        raise ConfigError(f"no {leave_out!r} to leave out: the people are {', '.join(names)}")
    if len(names) < 3:
        raise ConfigError(
            f"there must be at least three people, for train, dev and test, got {', '.join(names)}"
        )
    if repeat < 1:
        raise ConfigError(f"each recording must be there at least once, got --repeat {repeat}")
    split = dict.fromkeys(names, "train") | {leave_out: "test"}
    split[names[(names.index(leave_out) + 1) % len(names)]] = "dev"
    # The synthetic ones are first, so that they have the same places, and features, in each fold.
    voices = Corpus(replace(each, split="train") for each in synthetic)
    real = Corpus(replace(each, split=split[each.speaker], accent="digits") for each in people)
    again = Corpus(
        replace(each, id=f"{each.id}-again-{time}")
        for time in range(1, repeat)
        for each in real.where(split="train")
    )
    return voices + real + again


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    parser.add_argument("--voices", type=int, default=340, help="how many; 340 by default")
    parser.add_argument("--strings", type=int, default=5, help="of each voice; 5 by default")
    parser.add_argument("--seed", type=int, default=0, help="draws everything; 0 by default")
    parser.add_argument(
        "--sentences", type=int, default=0, help="new general sentences to replay; none by default"
    )
    parser.add_argument(
        "--with", dest="people", type=Path, metavar="MANIFEST", help="real recordings of digits"
    )
    parser.add_argument(
        "--leave-out",
        action="append",
        metavar="SPEAKER",
        help="whom to test, may be given again; by default each real speaker in turn",
    )
    parser.add_argument(
        "--repeat",
        type=int,
        default=1,
        help="how often each real recording to train on is in it; once by default",
    )
    options = parser.parse_args()
    if options.leave_out and options.people is None:
        parser.error("--leave-out only goes with --with")
    return options


def run(options: argparse.Namespace) -> None:
    """Do what the command line asks, and print how much was made."""
    people = None if options.people is None else read_manifest(options.people)
    tested = () if people is None else tuple(options.leave_out or people.speakers)
    for speaker in tested:  # what is wrong with them is said before anything is spoken
        together(Corpus(), people or Corpus(), leave_out=speaker, repeat=options.repeat)
    synthetic = synthesise(
        options.output,
        voices=options.voices,
        strings=options.strings,
        seed=options.seed,
        sentences=options.sentences,
    )
    print(f"{len(synthetic)} strings of {len(synthetic.speakers)} voices in {options.output}")
    for speaker in tested:
        corpus = together(synthetic, people or Corpus(), leave_out=speaker, repeat=options.repeat)
        write_manifest(corpus, options.output / f"leave-out-{speaker}.jsonl")


def main() -> int:
    """Return the exit code: 0, or that of an error that a person can mend."""
    try:
        run(_options())
    except SpeechtlError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
