"""A source made into a corpus to train on: read, spelled, checked, split, and told of in a card.

Recordings stay where they are, and the manifest points to them, unless they are to be copied. What
cannot be used is left out and listed; what is only doubtful stays and is told.

All is written into a folder of its own, and takes its place once it is whole, the manifest last:
where there is a manifest, all is there, and a prepare that fails or is stopped changes nothing.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from speechtl import audio, checks
from speechtl.alignment import Alignment
from speechtl.checks import Findings
from speechtl.checks.recordings import AudioFacts, UtteranceAudio
from speechtl.corpus import Corpus, Utterance, sentence
from speechtl.data_card import Change, DataCard, Dropped, data_card
from speechtl.errors import ConfigError, DataError, OutputError
from speechtl.files import read_text, require_writable, write_jsonl, write_text
from speechtl.manifest import write_manifest
from speechtl.models import SpeechModel
from speechtl.models.vocabulary import in_case_of, spelling
from speechtl.progress import Track, silent
from speechtl.report import data_card as pages
from speechtl.report.findings import fault_row, printable
from speechtl.sources import Reading
from speechtl.splits import LeakageReport, Split, SplitPlan, folds, leakage_report, split
from speechtl.text.spelling import Spelling

__all__ = [
    "MANIFEST",
    "Preparation",
    "Prepared",
    "prepare",
    "require_no_manifest",
    "write_alignment",
]

MANIFEST = "manifest.jsonl"

_CARD = "data-card"
_LISTS = ("faults.jsonl", "dropped.jsonl", "changes.jsonl")
_KEY = "pseudonyms.csv"
_AUDIO = "audio"  # the folder of copies
_PRIVATE = "private"  # the folder of what must not be passed on with pseudonyms
_STAGE = ".preparing"  # the folder of what is not whole yet
_FOLD_MANIFEST = re.compile(r"manifest\.fold-\d+\.jsonl")
_COPY = re.compile(rf"{_AUDIO}/([^/]+\.flac)")
_MARGIN_S = 0.15  # of silence that stays before and after the speech where it is cut off
_LONG_PAUSE_S = 0.5  # less is not worth a cut
_LONGEST_STEM = 150  # bytes; file systems take 255, and what is not whole yet has a longer name
_AT_ONCE = 1000  # copies that wait for a thread


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
        files: What was written beside copies of recordings, the manifest first.
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
    store: Path | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    track: Track = silent,
) -> Prepared:
    """Make a corpus of what was read, in a folder with its manifest and its data card.

    Args:
        reading: What was read of the source; rows with an error are told and left out.
        output: The folder. Nothing in it changes before all is made.
        settings: What is to be done.
        model: What shall be trained: transcripts are spelled in its vocabulary, and checked against
            it.
        store: The file that keeps what recordings tell, so that a prepare that was stopped does not
            listen again to what it has listened to. It holds their paths: it should not lie in
            `output`. None keeps nothing.
        workers: Threads that decode; None is one for each processor.
        overwrite: Whether an earlier corpus in that folder is replaced.
        track: Shows progress.

    Raises:
        ConfigError: The source has no such accent or value, or options exclude each other.
        DataError: No utterance can be used, or the corpus cannot be split as asked.
        OutputError: The folder holds something else, or cannot be written.
    """
    earlier = _require_free(output, reading, overwrite=overwrite)
    reading = _of_accents(_relabelled(reading, settings.relabelled), settings.accents)
    if settings.split.resplit:  # what two of the old splits share is no fault of the new ones
        unsplit = Corpus(replace(each, split=None) for each in reading.corpus)
        reading = replace(reading, corpus=unsplit)
    _require_splittable(reading.corpus, settings)
    reading, changes = _spelled(reading, settings.spelling, model)
    findings = checks.check(reading, model=model, store=store, workers=workers, track=track)
    draft = _drafted(findings, changes, settings)
    corpus, heard, leakage = _named(draft)
    card = data_card(
        corpus,
        source=reading.source,
        kind=reading.kind,
        audio=heard,
        faults=findings.faults,
        dropped=draft.dropped,
        changes=draft.changes,
        leakage=leakage,
        notes=draft.notes,
        named=not settings.pseudonymise,
    )
    with _staged(output, earlier) as folder:
        placed = _placed(draft, folder)
        if draft.copies:
            _copy(draft, placed, workers=workers, track=track)
        files = [*_write_manifests(draft, placed, folder), *_write_card(card, folder)]
        files += _write_lists(draft, placed, folder)
    return Prepared(
        corpus=_arranged(draft, draft.parted, _placed(draft, output.resolve())),
        card=card,
        leakage=leakage,
        notes=draft.notes,
        findings=findings,
        files=tuple(output / name for name in files),
    )


def require_no_manifest(output: Path) -> None:
    """Refuse a folder that has a manifest already, or cannot be written.

    Raises:
        OutputError: It is so.
    """
    require_writable(output)
    manifest = output / MANIFEST
    if manifest.exists():
        raise OutputError(f"{manifest}: is there already; name another folder with --output")


def write_alignment(corpus: Corpus, aligned: Alignment, output: Path) -> tuple[Path, ...]:
    """Write what became of a long recording, and return the files, the manifest first.

    `manifest.jsonl` has the utterances, and is not written where there is none; `alignment.jsonl`
    the score and the words' times of each; `left-out.jsonl` the sentences that are in none;
    `unwritten.jsonl` speech that is not in the transcript. Times are seconds in the recording.

    Args:
        corpus: The utterances of `aligned`, in its order.
        aligned: What became of the transcript.
        output: The folder.

    Raises:
        OutputError: The folder cannot be written, or has a manifest already.
    """
    require_no_manifest(output)
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
    files = [output / name for name in lists]
    if corpus:
        write_manifest(corpus, output / MANIFEST)
        files.insert(0, output / MANIFEST)
    return tuple(files)


# --- the folder -----------------------------------------------------------------------------------


def _require_free(output: Path, reading: Reading, *, overwrite: bool) -> tuple[Path, ...]:
    """Return what was prepared in the folder before; refuse one that holds something else.

    A prepare that was killed while all took its place has left some of it, and no manifest.
    """
    require_writable(output)
    there = {each.name for each in output.iterdir()} if output.is_dir() else set()
    is_whole = f"{_CARD}.json" in there and MANIFEST in there
    is_torn = _STAGE in there and MANIFEST not in there
    if there <= {_STAGE}:
        return ()
    if is_whole and not overwrite:
        raise OutputError(
            f"{output}: a corpus was prepared there already; name another folder with --output, or "
            "give --overwrite to replace it"
        )
    if not is_whole and not is_torn:
        raise OutputError(
            f"{output}: is not empty ({', '.join(sorted(there)[:5])}) and no corpus was prepared "
            "there; name another folder with --output"
        )
    earlier = _earlier(output)
    _require_ours(output, earlier)
    _require_elsewhere(reading, output)
    return earlier


def _earlier(output: Path) -> tuple[Path, ...]:
    """Return the files of an earlier prepare, its manifest first."""
    named = [output / MANIFEST, *_fold_manifests(output)]
    copies = {
        name
        for folder in (output, output / _STAGE)
        for manifest in (folder / MANIFEST, *_fold_manifests(folder))
        for name in _copies(manifest)
    }
    named += (output / f"{_CARD}.{suffix}" for suffix in ("html", "md", "json"))
    named += (folder / name for folder in (output, output / _PRIVATE) for name in (*_LISTS, _KEY))
    named += (output / _AUDIO / name for name in sorted(copies))
    return tuple(path for path in named if path.is_file())


def _fold_manifests(folder: Path) -> list[Path]:
    found = folder.glob("manifest.fold-*.jsonl")
    return sorted(path for path in found if _FOLD_MANIFEST.fullmatch(path.name))


def _copies(manifest: Path) -> Iterator[str]:
    """Yield the names of the copies that a manifest lists; none where it cannot be read."""
    try:
        lines = read_text(manifest).split("\n")
    except DataError:
        return
    for line in lines:
        with contextlib.suppress(ValueError, TypeError, KeyError):
            if found := _COPY.fullmatch(json.loads(line)["audio"]):
                yield found[1]


def _require_ours(output: Path, earlier: Sequence[Path]) -> None:
    """Refuse a folder of copies that holds what no earlier manifest lists."""
    folder = output / _AUDIO
    strange = {each for each in folder.rglob("*") if not each.is_dir()} - set(earlier)
    if folder.is_symlink() or folder.is_file():
        strange = {folder}
    if strange:
        raise OutputError(
            f"{output}: holds recordings that were not prepared there, such as {min(strange)}; "
            "move them elsewhere, or name another folder with --output"
        )


def _require_elsewhere(reading: Reading, output: Path) -> None:
    """Refuse to replace a folder that holds what the new corpus is made of."""
    folder = output.resolve()
    source = Path(reading.source).expanduser()  # or a name such as hf:ID, which is no path
    paths = [source.resolve()] if source.exists() else []
    paths += (each.audio for each in reading.corpus)
    if inside := next((path for path in paths if path.is_relative_to(folder)), None):
        raise OutputError(
            f"{output}: the corpus is made of what is in it ({inside}), and would replace it; name "
            "another folder with --output"
        )


@contextlib.contextmanager
def _staged(output: Path, earlier: Sequence[Path]) -> Iterator[Path]:
    """Lend a folder whose files take their places in `output` when the block ends well.

    They replace what was there earlier. When the block raises, `output` stays what it was.
    """
    is_new = not output.exists()
    stage = output / _STAGE
    try:
        shutil.rmtree(stage, ignore_errors=True)
        with _writing(output):
            stage.mkdir(parents=True)
        yield stage.resolve()
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        if is_new:
            with contextlib.suppress(OSError):
                output.rmdir()
        raise
    with _writing(output):
        _take_places(stage, output, earlier)


@contextlib.contextmanager
def _writing(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{output}: cannot be written ({error}); choose a folder that you may write"
        ) from error


def _take_places(stage: Path, output: Path, earlier: Sequence[Path]) -> None:
    """Move what is whole to its places, the manifest last; what was there earlier goes first."""
    for path in earlier:
        path.unlink(missing_ok=True)
    for folder in (output / _AUDIO, output / _PRIVATE):
        with contextlib.suppress(OSError):  # where a person keeps something in it, or it is not
            folder.rmdir()
    names = [path.relative_to(stage) for path in stage.rglob("*") if path.is_file()]
    for name in sorted(names, key=lambda name: (name.name == MANIFEST, name)):
        place = output / name
        place.parent.mkdir(exist_ok=True)
        if name.parent.name == _PRIVATE:
            place.parent.chmod(0o700)
        (stage / name).replace(place)
    shutil.rmtree(stage)


# --- which utterances, and what stands in them ----------------------------------------------------


def _relabelled(reading: Reading, names: Mapping[tuple[str, str | None], str]) -> Reading:
    for name, old in names:
        known = {getattr(each, name) for each in reading.corpus}
        if old is not None and old not in known:
            there = ", ".join(sorted(each for each in known if each)[:20]) or "none"
            raise ConfigError(f"no utterance has the {name} '{old}'; {reading.source} has {there}")
    if not names:
        return reading
    fields = {name for name, _ in names}
    times: Counter[tuple[str, str | None]] = Counter()

    def renamed(each: Utterance) -> Utterance:
        new: dict[str, Any] = {}
        for name in fields:
            old = getattr(each, name)
            key = (name, old if (name, old) in names else None)
            if key in names and names[key] != old:
                new[name] = names[key]
                times[key] += 1
        return replace(each, **new) if new else each

    corpus = Corpus(map(renamed, reading.corpus))
    told = (
        f"set: {name} is '{value}' in {times[name, old]} utterances"
        + ("" if old is None else f" that have '{old}'")
        for (name, old), value in names.items()
    )
    return replace(reading, corpus=corpus, notes=(*reading.notes, *told))


def _of_accents(reading: Reading, accents: Sequence[str]) -> Reading:
    if not accents:
        return reading
    known = Counter(each.accent for each in reading.corpus)
    if unknown := [accent for accent in accents if accent not in known]:
        there = ", ".join(f"{accent} ({count})" for accent, count in known.most_common(20))
        raise ConfigError(
            f"{reading.source} has no utterance of the accent {', '.join(map(repr, unknown))}; it "
            f"has {there or 'no utterance at all'}"
        )
    places = [reading.place(each) for each in reading.corpus if each.accent in accents]
    told = f"accents: {len(reading.corpus) - len(places)} utterances of others were passed over"
    return replace(
        reading,
        corpus=reading.corpus.where(accent=set(accents)),
        places=places,
        notes=(*reading.notes, told),
    )


def _require_splittable(corpus: Corpus, settings: Preparation) -> None:
    """Refuse what cannot be split, before an hour is listened to."""

    def length(each: Utterance) -> float:
        if settings.split.minutes is None:  # then lengths do not decide whether there is a split
            return 1.0
        try:
            return each.duration
        except DataError:
            return 0.0

    if not corpus:
        return
    try:
        _split(corpus, settings, {each.id: length(each) for each in corpus})
    except DataError:
        # Whether these can be made depends on the lengths, which are not known yet.
        if settings.folds is None and "prompt" not in settings.split.disjoint:
            raise


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


# --- what is made of it ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """What is to be written.

    Attributes:
        settings: What was asked for.
        findings: What the check found.
        dropped: What is left out.
        changes: What is not as the source has it.
        lengths: Seconds of each utterance, by its id.
        parted: The utterances, split, under their ids in the source.
        by_fold: The same, in folds.
        pseudonyms: The id and the speaker that stand for an utterance's own, by its id.
        notes: What a person should know.
    """

    settings: Preparation
    findings: Findings
    dropped: Sequence[Dropped]
    changes: Sequence[Change]
    lengths: Mapping[str, float]
    parted: Split
    by_fold: Sequence[Split]
    pseudonyms: Mapping[str, tuple[str, str]]
    notes: tuple[str, ...]

    @property
    def copies(self) -> bool:
        """Whether recordings are copied."""
        return self.settings.copy_audio or self.settings.pseudonymise

    def utterances(self) -> Iterator[Utterance]:
        """Yield each utterance of any manifest once, by pseudonym where there are some."""
        every = {each.id: each for part in (self.parted, *self.by_fold) for each in part.corpus}
        yield from self.sorted(every.values())

    def sorted(self, utterances: Iterable[Utterance]) -> Iterable[Utterance]:
        """Return utterances in the order of their pseudonyms: the source's would tell names."""
        if not self.settings.pseudonymise:
            return utterances
        return sorted(utterances, key=lambda each: self.pseudonyms[each.id])


def _drafted(findings: Findings, changes: Sequence[Change], settings: Preparation) -> _Draft:
    reading = findings.reading
    corpus, dropped = _usable(findings)
    ids = {each.id for each in corpus}
    changes = [each for each in changes if each.utterance in ids]
    if settings.trim:
        corpus, cut = _trimmed(corpus, findings.audio)
        changes += cut
    lengths = {each.id: _length(each, findings.audio[each.id]) for each in corpus}
    parted, by_fold = _split(corpus, settings, lengths)
    left_out = dict(parted.left_out)
    dropped += [
        Dropped(each.id, reading.place(each), "split", left_out[each.id])
        for each in corpus
        if each.id in left_out
    ]
    return _Draft(
        settings=settings,
        findings=findings,
        dropped=dropped,
        changes=changes,
        lengths=lengths,
        parted=parted,
        by_fold=by_fold,
        pseudonyms=_pseudonyms(corpus) if settings.pseudonymise else {},
        notes=(
            *reading.notes,
            *parted.notes,
            *_notes_of_folds(by_fold),
            *(_told_names(parted.corpus) if settings.pseudonymise else ()),
        ),
    )


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


def _length(utterance: Utterance, heard: AudioFacts) -> float:
    if utterance.end is None and isinstance(heard, UtteranceAudio):
        return heard.duration_s
    return utterance.duration


def _split(
    corpus: Corpus, settings: Preparation, lengths: Mapping[str, float]
) -> tuple[Split, tuple[Split, ...]]:
    def duration(utterance: Utterance) -> float:
        return lengths[utterance.id]

    by_fold: tuple[Split, ...] = ()
    if settings.folds is not None:
        by_fold = folds(corpus, settings.folds, settings.split, duration=duration)
    return split(corpus, settings.split, duration=duration), by_fold


def _notes_of_folds(by_fold: Sequence[Split]) -> Iterator[str]:
    """Yield what is to be told of the folds; what is said of all of them once."""
    if not by_fold:
        return
    shared = [note for note in by_fold[0].notes if all(note in each.notes for each in by_fold)]
    yield from (f"folds: {note}" for note in shared)
    for number, fold in enumerate(by_fold, start=1):
        yield from (f"fold {number}: {note}" for note in fold.notes if note not in shared)


# --- what the utterances are called, and where the recordings are ---------------------------------


def _pseudonyms(corpus: Corpus) -> dict[str, tuple[str, str]]:
    """Return the id and the speaker that stand for each utterance's own, by its id.

    The order of the speakers is drawn by the system's own generator: whoever knows the names could
    find out one by name, and one by a seed.
    """
    order = list(corpus.speakers)
    secrets.SystemRandom().shuffle(order)
    width = len(str(len(order)))
    speakers = {name: f"speaker-{number:0{width}d}" for number, name in enumerate(order, start=1)}
    most = max(Counter(each.speaker for each in corpus).values())
    width = max(4, len(str(most)))
    said: Counter[str] = Counter()
    found = {}
    for each in corpus:
        said[each.speaker] += 1
        name = speakers[each.speaker]
        found[each.id] = (f"{name}-{said[each.speaker]:0{width}d}", name)
    return found


def _told_names(corpus: Corpus) -> Iterator[str]:
    words = {word for each in corpus for word in sentence(each.text).split()}
    said = [name for name in corpus.speakers if set(sentence(name).split()) & words]
    yield (
        "pseudonyms: what they stand for is in the folder private, which is not to be passed on; "
        "voices stay recognisable"
    )
    if said:
        yield (
            f"pseudonyms: names of {len(said)} speakers are words of transcripts too, which stay "
            "as they are; read them before the corpus is passed on"
        )


def _renamed(draft: _Draft, utterance: Utterance) -> Utterance:
    if not draft.settings.pseudonymise:
        return utterance
    name, speaker = draft.pseudonyms[utterance.id]
    return replace(utterance, id=name, speaker=speaker)


def _named(draft: _Draft) -> tuple[Corpus, dict[str, AudioFacts], LeakageReport]:
    """Return what the card tells of: the utterances as they are called, and their recordings.

    The recordings are the source's: what is copied need not be opened again.
    """
    pairs = [(each, _renamed(draft, each)) for each in draft.sorted(draft.parted.corpus)]
    corpus = Corpus(new for _, new in pairs)
    heard = {new.id: draft.findings.audio[each.id] for each, new in pairs}
    lengths = {new.id: draft.lengths[each.id] for each, new in pairs}

    def digest(utterance: Utterance) -> bytes:
        facts = heard[utterance.id]
        return (facts.digest if isinstance(facts, UtteranceAudio) else utterance.id).encode()

    def duration(utterance: Utterance) -> float:
        return lengths[utterance.id]

    return corpus, heard, leakage_report(corpus, duration=duration, digest=digest)


def _placed(draft: _Draft, root: Path) -> dict[str, Utterance]:
    """Return each utterance as a manifest in the folder `root` has it, by its id in the source."""
    new = {each.id: _renamed(draft, each) for each in draft.utterances()}
    if not draft.copies:
        return new
    stems = _stems(each.id for each in new.values())
    return {
        name: replace(each, audio=root / _AUDIO / f"{stems[each.id]}.flac", start=None, end=None)
        for name, each in new.items()
    }


def _stems(ids: Iterable[str]) -> dict[str, str]:
    """Return a file name for each id, which no other has, however a file system takes case."""
    stems: dict[str, str] = {}
    taken: set[str] = set()
    for name in ids:
        safe = re.sub(r"[^\w.-]+", "-", name).encode()[:_LONGEST_STEM].decode(errors="ignore")
        stem = first = safe.strip("-.") or "utterance"
        times = 1
        while stem.casefold() in taken:
            times += 1
            stem = f"{first}-{times}"
        taken.add(stem.casefold())
        stems[name] = stem
    return stems


def _copy(
    draft: _Draft, placed: Mapping[str, Utterance], *, workers: int | None, track: Track
) -> None:
    """Write each utterance as 16 kHz FLAC, without tags, to its place."""
    wanted = [(each, placed[each.id].audio) for each in draft.utterances()]
    pool = ThreadPoolExecutor(workers or os.cpu_count() or 1)

    def write(pair: tuple[Utterance, Path]) -> None:
        audio.write(pair[1], pair[0].waveform())

    def written() -> Iterator[None]:
        for first in range(0, len(wanted), _AT_ONCE):
            yield from pool.map(write, wanted[first : first + _AT_ONCE])

    try:
        for _ in track(written(), "copying recordings", total=len(wanted)):
            pass
    finally:
        pool.shutdown(cancel_futures=True)  # else Ctrl-C would wait for a thousand


# --- what is written ------------------------------------------------------------------------------


def _arranged(draft: _Draft, parted: Split, placed: Mapping[str, Utterance]) -> Corpus:
    """Return the utterances of a manifest as they stand there, each with its split."""
    return Corpus(
        replace(placed[each.id], split=each.split) for each in draft.sorted(parted.corpus)
    )


def _write_manifests(draft: _Draft, placed: Mapping[str, Utterance], folder: Path) -> Iterator[str]:
    """Write the manifest and one for each fold; yield their names."""
    names = (MANIFEST, *(f"manifest.fold-{k + 1}.jsonl" for k in range(len(draft.by_fold))))
    for name, parted in zip(names, (draft.parted, *draft.by_fold), strict=True):
        write_manifest(_arranged(draft, parted, placed), folder / name)
        yield name


def _write_card(card: DataCard, folder: Path) -> Iterator[str]:
    for suffix, text in (
        ("html", pages.html(card)),
        ("md", pages.markdown(card)),
        ("json", card.to_json()),
    ):
        write_text(folder / f"{_CARD}.{suffix}", text)
        yield f"{_CARD}.{suffix}"


def _write_lists(draft: _Draft, placed: Mapping[str, Utterance], folder: Path) -> Iterator[str]:
    """Write what is wrong, what was left out and what was changed; with pseudonyms, the key too."""
    below = f"{_PRIVATE}/" if draft.settings.pseudonymise else ""
    if below:
        (folder / _PRIVATE).mkdir(mode=0o700)
    rows = (
        map(fault_row, draft.findings.faults),
        (each.row() | {"place": printable(each.place)} for each in draft.dropped),
        (each.row() for each in draft.changes),
    )
    for name, found in zip(_LISTS, rows, strict=True):
        write_jsonl(folder / below / name, found)
        yield below + name
    if below:
        write_text(folder / _PRIVATE / _KEY, _key(draft, placed))
        (folder / _PRIVATE / _KEY).chmod(0o600)
        yield below + _KEY


def _key(draft: _Draft, placed: Mapping[str, Utterance]) -> str:
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(("id", "speaker", "pseudonym_id", "pseudonym_speaker"))
    for each in draft.utterances():
        new = placed[each.id]
        rows.writerow((each.id, each.speaker, new.id, new.speaker))
    return table.getvalue()
