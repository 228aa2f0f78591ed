"""A source made into a corpus to train on: read, spelled, checked, split, and told of in a card.

Recordings stay where they are, and the manifest points to them, unless they are to be copied. What
cannot be used is left out and listed; what is only doubtful stays and is told.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from speechtl import audio, checks
from speechtl.alignment import Alignment
from speechtl.checks import Findings
from speechtl.checks.recordings import AudioFacts, UtteranceAudio
from speechtl.corpus import Corpus, Utterance, sentence
from speechtl.data_card import Change, DataCard, Dropped, data_card
from speechtl.errors import ConfigError, DataError, OutputError
from speechtl.files import require_writable, write_jsonl, write_text
from speechtl.manifest import write_manifest
from speechtl.models import SpeechModel
from speechtl.models.vocabulary import in_case_of, spelling
from speechtl.progress import Track, silent
from speechtl.report import data_card as pages
from speechtl.report.findings import fault_row
from speechtl.sources import Reading
from speechtl.splits import LeakageReport, Split, SplitPlan, folds, leakage_report, split
from speechtl.text.spelling import Spelling

__all__ = ["MANIFEST", "Preparation", "Prepared", "prepare", "write_alignment"]

MANIFEST = "manifest.jsonl"

_CARD = "data-card"
_STORE = ".recordings.jsonl"  # what the recordings tell, of a prepare that was stopped too
_PRIVATE = "private"  # the folder of what must not be passed on with pseudonyms
_MARGIN_S = 0.15  # of silence that stays before and after the speech where it is cut off
_LONG_PAUSE_S = 0.5  # less is not worth a cut
_NAMES = 7  # a random stream beside those of splits: the order of pseudonyms


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """What is to be done with a source, once it is read.

    Attributes:
        relabelled: What stands for a value, by the field (accent, speaker, sex, licence or split)
            and the value that the source has; the value None is every value.
        accents: The accents to keep, as they are called then; none keeps all.
        spelling: How transcripts are written.
        trim: Whether silence of more than 0.5 s at the ends of utterances is cut off, by their
            times: 0.15 s of it stay.
        copy_audio: Whether each utterance is copied beside the manifest, as 16 kHz FLAC.
        pseudonymise: Whether speakers and utterances get numbers for names; copies the audio.
        split: How it is split.
        folds: Make this many folds too, each with a manifest in which every speaker is in one of
            train, dev and test; over all folds each is tested once.
    """

    relabelled: Mapping[tuple[str, str | None], str] = field(default_factory=dict)
    accents: tuple[str, ...] = ()
    spelling: Spelling = field(default_factory=Spelling)
    trim: bool = False
    copy_audio: bool = False
    pseudonymise: bool = False
    split: SplitPlan = field(default_factory=SplitPlan)
    folds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What came of it.

    Attributes:
        corpus: As it stands in the manifest.
        card: What is told of it.
        leakage: What its splits share.
        notes: What a person should know of how it came about, a line each.
        findings: What the check found, in the source's own names.
        files: What was written, the manifest first.
    """

    corpus: Corpus
    card: DataCard
    leakage: LeakageReport
    notes: tuple[str, ...]
    findings: Findings
    files: tuple[Path, ...]


def prepare(
    reading: Reading,
    output: Path,
    settings: Preparation,
    *,
    model: SpeechModel | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    track: Track = silent,
) -> Prepared:
    """Make a corpus of what was read, in a folder with its manifest and its data card.

    Args:
        reading: What was read of the source; rows with an error are told and left out.
        output: The folder. What a prepare that was stopped had listened to is not listened to
            again.
        settings: What is to be done.
        model: What shall be trained: transcripts are spelled in its vocabulary, and checked against
            it.
        workers: Threads that decode; None is one for each processor.
        overwrite: Whether an earlier corpus in that folder is replaced.
        track: Shows progress.

    Raises:
        ConfigError: The corpus has no such accent or speaker.
        DataError: No utterance can be used, or the corpus cannot be split as asked.
        OutputError: The folder holds something else, or cannot be written.
    """
    _require_free(output, overwrite=overwrite)
    reading, notes = _of_accents(_relabelled(reading, settings.relabelled), settings.accents)
    _require_splittable(reading.corpus, settings)
    reading, changes = _spelled(reading, settings.spelling, model)
    findings = checks.check(
        reading, model=model, store=output / _STORE, workers=workers, track=track
    )
    kept, dropped = _usable(findings)
    if settings.trim:
        kept, cut = _trimmed(kept, findings.audio)
        changes += cut
    parted, by_fold = _split(kept, settings, {each.id: each.duration for each in kept})
    dropped += [Dropped(name, reading.source, "split", why) for name, why in parted.left_out]
    placed = _placed(kept, output, settings, workers=workers, track=track)
    files = [_write(parted, placed, output / MANIFEST)]
    for number, fold in enumerate(by_fold, start=1):
        files.append(_write(fold, placed, output / f"manifest.fold-{number}.jsonl"))
    notes += [*parted.notes, *_told_names(parted.corpus, settings)]
    corpus = Corpus(_in_place(each, placed) for each in parted.corpus)
    heard = {placed[each.id].id: findings.audio[each.id] for each in parted.corpus}
    leakage = _leakage(corpus, heard)
    card = data_card(
        corpus,
        source="" if settings.pseudonymise else reading.source,
        kind=reading.kind,
        audio=heard,
        faults=findings.faults,
        dropped=dropped,
        changes=changes,
        leakage=leakage,
        notes=notes,
        named=not settings.pseudonymise,
    )
    files += _write_card(card, output)
    files += _write_lists(findings, dropped, changes, placed, output, settings)
    return Prepared(
        corpus=corpus,
        card=card,
        leakage=leakage,
        notes=tuple(notes),
        findings=findings,
        files=tuple(files),
    )


def write_alignment(corpus: Corpus, aligned: Alignment, output: Path) -> tuple[Path, ...]:
    """Write what became of a long recording, and return the files, the manifest first.

    `manifest.jsonl` has the utterances; `alignment.jsonl` the score and the words' times of each;
    `left-out.jsonl` the sentences that are in none; `unwritten.jsonl` speech that is not in the
    transcript. Times are seconds in the recording.

    Args:
        corpus: The utterances of `aligned`, in its order.
        aligned: What became of the transcript.
        output: The folder.

    Raises:
        OutputError: The folder cannot be written, or has a manifest already.
    """
    manifest = output / MANIFEST
    if manifest.exists():
        raise OutputError(f"{manifest}: is there already; name another folder with --output")
    lists = {
        "alignment.jsonl": (
            {"id": each.id, "score": round(found.score, 4), "words": list(map(asdict, found.words))}
            for each, found in zip(corpus, aligned.utterances, strict=True)
        ),
        "left-out.jsonl": map(asdict, aligned.left_out),
        "unwritten.jsonl": map(asdict, aligned.unwritten),
    }
    for name, rows in lists.items():
        write_jsonl(output / name, rows)
    write_manifest(corpus, manifest)
    return (manifest, *(output / name for name in lists))


def _require_free(output: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds something else than what was prepared there before."""
    require_writable(output)
    if not output.is_dir():
        return
    there = {each.name for each in output.iterdir()} - {_STORE, "audio"}
    earlier = (output / f"{_CARD}.json").is_file()
    if not there or (overwrite and earlier):
        return
    if earlier:
        raise OutputError(
            f"{output}: a corpus was prepared there already; name another folder with --output, or "
            "give --overwrite to replace it"
        )
    raise OutputError(
        f"{output}: is not empty ({', '.join(sorted(there)[:5])}) and no corpus was prepared "
        "there; name another folder with --output"
    )


# --- which utterances, and what stands in them ----------------------------------------------------


def _relabelled(reading: Reading, names: Mapping[tuple[str, str | None], str]) -> Reading:
    if not names:
        return reading
    for name, old in names:
        there = {getattr(each, name) for each in reading.corpus}
        if old is not None and old not in there:
            known = ", ".join(sorted(map(str, there))[:20])
            raise ConfigError(f"no utterance has the {name} '{old}'; {reading.source} has {known}")

    def renamed(each: Utterance) -> Utterance:
        new = {
            name: value
            for (name, old), value in names.items()
            if old is None or old == getattr(each, name)
        }
        return replace(each, **new) if new else each  # type: ignore[arg-type]

    return replace(reading, corpus=Corpus(map(renamed, reading.corpus)))


def _require_splittable(corpus: Corpus, settings: Preparation) -> None:
    """Refuse what cannot be split, before an hour is listened to."""
    if corpus:
        _split(corpus, settings, dict.fromkeys((each.id for each in corpus), 1.0))


def _of_accents(reading: Reading, accents: Sequence[str]) -> tuple[Reading, list[str]]:
    if not accents:
        return reading, list(reading.notes)
    known = Counter(each.accent for each in reading.corpus)
    if unknown := [accent for accent in accents if accent not in known]:
        there = ", ".join(f"{accent} ({count})" for accent, count in known.most_common(20))
        raise DataError(
            f"{reading.source} has no utterance of the accent {', '.join(map(repr, unknown))}; it "
            f"has {there}"
        )
    pairs = [
        (each, place)
        for each, place in zip(reading.corpus, reading.places, strict=True)
        if each.accent in accents
    ]
    told = f"accents: {len(reading.corpus) - len(pairs)} utterances of others were passed over"
    return (
        replace(
            reading,
            corpus=Corpus(each for each, _ in pairs),
            places=[place for _, place in pairs],
        ),
        [*reading.notes, told],
    )


def _spelled(
    reading: Reading, spell: Spelling, model: SpeechModel | None
) -> tuple[Reading, list[Change]]:
    """Return the reading with its transcripts as they are to be trained on, and the changes."""
    vocabulary = _vocabulary(model)
    utterances, changes = [], []
    for each in reading.corpus:
        text, names = spell(each.text)
        if vocabulary is not None and (fitted := _in_vocabulary(text, vocabulary)) != text:
            text, names = fitted, (*names, "vocabulary")
        if names:
            changes.append(Change(each.id, "+".join(names), each.text, text))
            each = replace(each, text=text)  # noqa: PLW2901
        utterances.append(each)
    return replace(reading, corpus=Corpus(utterances)), changes


def _vocabulary(model: SpeechModel | None) -> frozenset[str] | None:
    """Return the characters of a CTC model; None for a Whisper, which spells anything."""
    tokenizer = getattr(model, "tokenizer", None)
    if model is None or model.family != "ctc" or tokenizer is None:
        return None
    return frozenset(spelling(tokenizer, size=model.network.config.vocab_size))


def _in_vocabulary(text: str, vocabulary: frozenset[str]) -> str:
    """Return a text in the vocabulary's case, without punctuation that it lacks.

    It stays as it is where the vocabulary lacks characters even so: the check tells that.
    """
    for spelled in (text, Spelling(punctuation="drop")(text)[0]):
        fitted = in_case_of(vocabulary, spelled)
        if fitted and not set(fitted) - vocabulary:
            return fitted
    return text


def _usable(findings: Findings) -> tuple[Corpus, list[Dropped]]:
    """Return the utterances that can be used, and what is not among them."""
    unusable = checks.unusable(findings)
    kept = Corpus(each for each in findings.reading.corpus if each.id not in unusable)
    gone = (*findings.reading.errors(), *unusable.values())
    if not kept:
        raise DataError(
            f"{findings.reading.source}: no utterance can be used; all were left out",
            faults=tuple(map(str, gone[:50])),
        )
    return kept, [Dropped(each.utterance, each.place, each.kind, each.message) for each in gone]


def _trimmed(corpus: Corpus, facts: Mapping[str, AudioFacts]) -> tuple[Corpus, list[Change]]:
    """Return the utterances without long silence at their ends, and the changes of their times."""
    utterances, changes = [], []
    for each in corpus:
        heard = facts[each.id]
        if isinstance(heard, UtteranceAudio):
            before, after = heard.leading_silence_s, heard.trailing_silence_s
            first = each.start or 0.0
            last = first + heard.duration_s
            start = first + before - _MARGIN_S if before > _LONG_PAUSE_S else first
            end = last - after + _MARGIN_S if after > _LONG_PAUSE_S else last
            if (start, end) != (first, last) and start < end:
                told = (f"{first:.2f} to {last:.2f} s", f"{start:.2f} to {end:.2f} s")
                changes.append(Change(each.id, "silence", *told))
                each = replace(each, start=round(start, 3), end=round(end, 3))  # noqa: PLW2901
        utterances.append(each)
    return Corpus(utterances), changes


def _split(
    corpus: Corpus, settings: Preparation, lengths: Mapping[str, float]
) -> tuple[Split, tuple[Split, ...]]:
    def duration(utterance: Utterance) -> float:
        return lengths[utterance.id]

    parted = split(corpus, settings.split, duration=duration)
    if settings.folds is None:
        return parted, ()
    return parted, folds(corpus, settings.folds, settings.split, duration=duration)


# --- where the recordings are, and what they are called -------------------------------------------


def _placed(
    corpus: Corpus, output: Path, settings: Preparation, *, workers: int | None, track: Track
) -> dict[str, Utterance]:
    """Return each utterance as it is written, by the id that it has in the source."""
    if not settings.copy_audio and not settings.pseudonymise:
        return {each.id: each for each in corpus}
    names = _pseudonyms(corpus, settings.split.seed) if settings.pseudonymise else {}
    folder = output / "audio"
    stems = _stems(corpus)

    def copied(each: Utterance) -> Utterance:
        name, speaker = names.get(each.id, (each.id, each.speaker))
        path = folder / f"{name if names else stems[each.id]}.flac"
        audio.write(path, each.waveform())
        return replace(each, id=name, speaker=speaker, audio=path.resolve(), start=None, end=None)

    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        done = track(pool.map(copied, corpus), "copying recordings", total=len(corpus))
        return {each.id: new for each, new in zip(corpus, done, strict=True)}


def _pseudonyms(corpus: Corpus, seed: int) -> dict[str, tuple[str, str]]:
    """Return the id and the speaker that stand for each utterance's own, by its id.

    The order is drawn: one by name would tell names.
    """
    names = corpus.speakers
    order = np.random.default_rng([seed, _NAMES]).permutation(len(names)).tolist()
    width = len(str(len(names)))
    speakers = {
        names[index]: f"speaker-{number:0{width}d}" for number, index in enumerate(order, start=1)
    }
    said: Counter[str] = Counter()
    found = {}
    for each in corpus:
        said[each.speaker] += 1
        name = speakers[each.speaker]
        found[each.id] = (f"{name}-{said[each.speaker]:04d}", name)
    return found


def _stems(corpus: Corpus) -> dict[str, str]:
    """Return a file name for each id: what file systems refuse becomes a hyphen."""
    stems: dict[str, str] = {}
    taken: Counter[str] = Counter()
    for each in corpus:
        stem = re.sub(r"[^\w.-]+", "-", each.id)[:100].strip("-.") or "utterance"
        taken[stem.casefold()] += 1
        times = taken[stem.casefold()]
        stems[each.id] = stem if times == 1 else f"{stem}-{times}"
    return stems


def _in_place(utterance: Utterance, placed: Mapping[str, Utterance]) -> Utterance:
    """Return the utterance as it is written, with the split that it has here."""
    return replace(placed[utterance.id], split=utterance.split)


def _told_names(corpus: Corpus, settings: Preparation) -> list[str]:
    if not settings.pseudonymise:
        return []
    words = {word for each in corpus for word in sentence(each.text).split()}
    said = sorted(name for name in corpus.speakers if set(sentence(name).split()) & words)
    notes = [
        "pseudonyms: what they stand for is in the folder private, which is not to be passed on; "
        "voices stay recognisable"
    ]
    if said:
        notes.append(
            f"pseudonyms: names of {len(said)} speakers are words of transcripts too, which stay "
            "as they are; read them before the corpus is passed on"
        )
    return notes


# --- what is written ------------------------------------------------------------------------------


def _write(parted: Split, placed: Mapping[str, Utterance], path: Path) -> Path:
    write_manifest(Corpus(_in_place(each, placed) for each in parted.corpus), path)
    return path


def _leakage(corpus: Corpus, heard: Mapping[str, AudioFacts]) -> LeakageReport:
    lengths = {each.id: each.duration for each in corpus}

    def digest(utterance: Utterance) -> bytes:
        facts = heard[utterance.id]
        return (facts.digest if isinstance(facts, UtteranceAudio) else utterance.id).encode()

    return leakage_report(corpus, duration=lambda each: lengths[each.id], digest=digest)


def _write_card(card: DataCard, output: Path) -> Iterable[Path]:
    for suffix, text in (
        ("html", pages.html(card)),
        ("md", pages.markdown(card)),
        ("json", card.to_json()),
    ):
        path = output / f"{_CARD}.{suffix}"
        write_text(path, text)
        yield path


def _write_lists(
    findings: Findings,
    dropped: Sequence[Dropped],
    changes: Sequence[Change],
    placed: Mapping[str, Utterance],
    output: Path,
    settings: Preparation,
) -> Iterable[Path]:
    """Write what is wrong, what was left out and what was changed; with pseudonyms, the key too."""
    folder = output / _PRIVATE if settings.pseudonymise else output
    lists = {
        "faults.jsonl": map(fault_row, findings.faults),
        "dropped.jsonl": (each.row() for each in dropped),
        "changes.jsonl": (each.row() for each in changes),
    }
    for name, rows in lists.items():
        write_jsonl(folder / name, rows)
        yield folder / name
    if settings.pseudonymise:
        key = folder / "pseudonyms.csv"
        write_text(key, _key(findings.reading.corpus, placed))
        key.chmod(0o600)
        yield key


def _key(corpus: Corpus, placed: Mapping[str, Utterance]) -> str:
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(("id", "speaker", "pseudonym_id", "pseudonym_speaker"))
    for each in corpus:
        if (new := placed.get(each.id)) is not None:
            rows.writerow((each.id, each.speaker, new.id, new.speaker))
    return table.getvalue()
