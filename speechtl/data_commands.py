"""The commands about corpora: `data prepare`, `data check`, `data align`, and `corpora`."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, overload

import typer
from rich.markup import escape
from rich.table import Table

from speechtl import progress
from speechtl.console import EXIT_CODES, HELP, RUNNING, Debug, Quiet, err, out
from speechtl.errors import ConfigError
from speechtl.files import write_text

if TYPE_CHECKING:
    from speechtl.models import SpeechModel
    from speechtl.sources import Options, Reading
    from speechtl.splits import SplitPlan

__all__ = ["app", "corpora"]

WARNINGS_ALONE = 6
"""The exit code of a check that found warnings and no error."""

app = typer.Typer(
    help="Bring recordings in: check them, split them, and see what they hold.",
    no_args_is_help=True,
    context_settings=HELP,
)

SOURCE = "What the source does not say itself"
TEXT = "How transcripts are written"
SPLITS = "How it is split"

_Source = Annotated[
    str,
    typer.Argument(
        help="A table (.jsonl, .csv, .tsv, .parquet), a TextGrid, .eaf, .srt or .vtt file, a "
        "folder of these, of Kaldi, Common Voice or LJSpeech, or of recordings with a .txt beside "
        "each; KIND:PATH; a corpus' name (see `speechtl corpora`); or hf:ID_OR_FOLDER.",
        show_default=False,
    ),
]
_Kind = Annotated[
    str | None,
    typer.Option(
        help="The kind of source, where its names do not tell: table, nemo, ljspeech, "
        "common-voice, kaldi, textgrid, elan, subtitles or folder.",
        rich_help_panel=SOURCE,
    ),
]
_Accent = Annotated[
    str | None,
    typer.Option(help="The accent of rows that name none.", rich_help_panel=SOURCE),
]
_Speaker = Annotated[
    str | None,
    typer.Option(help="The speaker of rows that name none.", rich_help_panel=SOURCE),
]
_Licence = Annotated[
    str | None,
    typer.Option(
        help="The licence of rows that name none, such as CC-BY-4.0.", rich_help_panel=SOURCE
    ),
]
_Column = Annotated[
    list[str] | None,
    typer.Option(
        help="FIELD=NAME: the column that holds id, audio, text, speaker, accent, start, end, "
        "split, licence or sex, where its name is unusual; may be given several times.",
        rich_help_panel=SOURCE,
    ),
]
_Tier = Annotated[
    list[str] | None,
    typer.Option(
        help="A tier of a TextGrid or ELAN file to take; may be given several times.",
        rich_help_panel=SOURCE,
    ),
]
_FromPath = Annotated[
    list[str] | None,
    typer.Option(
        help="FIELD=REGEX: finds the speaker, accent or sex in a recording's path by the first "
        "group, such as speaker='^([^/]+)/'; may be given several times.",
        rich_help_panel=SOURCE,
    ),
]
_Audio = Annotated[
    Path | None,
    typer.Option(
        help="The folder of the recordings, where they lie elsewhere.", rich_help_panel=SOURCE
    ),
]
_Model = Annotated[
    str | None,
    typer.Option(
        help="The model that shall be trained: transcripts are checked against its vocabulary and "
        "limits, and against what it hears.",
        rich_help_panel=RUNNING,
    ),
]
_Workers = Annotated[
    int | None,
    typer.Option(
        help="Threads that decode; one for each processor by default.",
        rich_help_panel=RUNNING,
        min=1,
    ),
]


@app.command(epilog=EXIT_CODES, context_settings=HELP)
def check(
    source: _Source,
    kind: _Kind = None,
    accent: _Accent = None,
    speaker: _Speaker = None,
    licence: _Licence = None,
    column: _Column = None,
    tier: _Tier = None,
    from_path: _FromPath = None,
    audio: _Audio = None,
    model: _Model = None,
    listen: Annotated[
        bool,
        typer.Option(
            "--audio-checks/--no-audio-checks",
            help="Decode the recordings; else they are only known to be there.",
            rich_help_panel=RUNNING,
        ),
    ] = True,
    every: Annotated[
        bool,
        typer.Option(
            "--all",
            help="List every fault; else the first three of a kind.",
            rich_help_panel=RUNNING,
        ),
    ] = False,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json",
            help="File that gets every fault as JSON; - is standard output.",
            rich_help_panel=RUNNING,
        ),
    ] = None,
    workers: _Workers = None,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Tell all that is wrong with a corpus, at once, and what to do about it.

    Ends with 3 if there is an error, with 6 if there are warnings alone.
    What recordings tell is kept in the user's cache: a check that was
    stopped goes on.
    """
    with err.status("starting", spinner="dots"):
        from speechtl import checks  # noqa: PLC0415
        from speechtl.report import findings as told  # noqa: PLC0415
    options = _options(accent, speaker, licence, column, tier, from_path, audio)
    reading = _read(source, kind, options)
    found = checks.check(
        reading,
        recordings=listen,
        model=_loaded(model),
        store=_store(source) if listen else None,
        workers=workers,
        track=progress.silent if quiet else progress.bars(err),
    )
    if json_file is not None:
        text = json.dumps(told.as_json(found), ensure_ascii=False, indent=2) + "\n"
        if str(json_file) == "-":
            typer.echo(text, nl=False)
        else:
            write_text(json_file, text)
    if str(json_file) != "-":
        out.print(told.render(found, shown=None if every else 3), highlight=False)
    grades = {fault.grade for fault in found.faults}
    if grades:
        raise typer.Exit(3 if "error" in grades else WARNINGS_ALONE)


@app.command(epilog=EXIT_CODES, context_settings=HELP)
def prepare(
    source: _Source,
    output: Annotated[
        Path,
        typer.Option(
            help="The folder that gets manifest.jsonl, the data card and the lists of what was "
            "found, left out and changed.",
            rich_help_panel=RUNNING,
            show_default=False,
        ),
    ],
    kind: _Kind = None,
    accent: _Accent = None,
    speaker: _Speaker = None,
    licence: _Licence = None,
    column: _Column = None,
    tier: _Tier = None,
    from_path: _FromPath = None,
    audio: _Audio = None,
    accents: Annotated[
        str | None,
        typer.Option(help="Keep these accents alone, separated by commas.", rich_help_panel=SOURCE),
    ] = None,
    relabel: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="FIELD=VALUE for all rows, or FIELD:OLD=VALUE for those that have OLD, such as "
            "'accent:Scottish English=scottish'; fields are accent, speaker, sex, licence and "
            "split; may be given several times.",
            rich_help_panel=SOURCE,
        ),
    ] = None,
    numbers: Annotated[
        str,
        typer.Option(
            help="keep, or words: 1984 becomes nineteen eighty-four.", rich_help_panel=TEXT
        ),
    ] = "keep",
    punctuation: Annotated[
        str, typer.Option(help="keep or drop; apostrophes stay.", rich_help_panel=TEXT)
    ] = "keep",
    case: Annotated[str, typer.Option(help="keep, lower or upper.", rich_help_panel=TEXT)] = "keep",
    shares: Annotated[
        str,
        typer.Option(help="Of the speech, for train, dev and test.", rich_help_panel=SPLITS),
    ] = "0.7,0.1,0.2",
    minutes: Annotated[
        str | None,
        typer.Option(
            help="Minutes for train, dev and test in place of shares, such as 60,5,15; - in a "
            "place takes what is left.",
            rich_help_panel=SPLITS,
        ),
    ] = None,
    disjoint: Annotated[
        str,
        typer.Option(
            help="What no two splits share: speaker, speaker+prompt (the sentence), prompt or "
            "none.",
            rich_help_panel=SPLITS,
        ),
    ] = "speaker",
    stratify: Annotated[
        str,
        typer.Option(
            help="accent+sex, accent, sex or none: accent deals each accent's speakers for "
            "themselves, sex balances the sexes.",
            rich_help_panel=SPLITS,
        ),
    ] = "accent+sex",
    train_speakers: Annotated[
        str | None,
        typer.Option(help="Who is trained on, separated by commas.", rich_help_panel=SPLITS),
    ] = None,
    dev_speakers: Annotated[
        str | None, typer.Option(help="By whom is chosen.", rich_help_panel=SPLITS)
    ] = None,
    test_speakers: Annotated[
        str | None, typer.Option(help="Who is tested.", rich_help_panel=SPLITS)
    ] = None,
    resplit: Annotated[
        bool,
        typer.Option("--resplit", help="Split anew what has splits.", rich_help_panel=SPLITS),
    ] = False,
    folds: Annotated[
        int | None,
        typer.Option(
            help="Also write this many folds, a manifest each; each speaker is tested in one.",
            rich_help_panel=SPLITS,
            min=2,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Draws the splits.", rich_help_panel=SPLITS, min=0)] = 0,
    trim: Annotated[
        bool,
        typer.Option(
            "--trim",
            help="Cut off silence of more than 0.5 s at the ends of utterances, by their times.",
            rich_help_panel=RUNNING,
        ),
    ] = False,
    copy_audio: Annotated[
        bool,
        typer.Option(
            "--copy-audio",
            help="Copy each utterance beside the manifest, as 16 kHz FLAC; else the manifest "
            "points to the recordings where they are.",
            rich_help_panel=RUNNING,
        ),
    ] = False,
    pseudonymise: Annotated[
        bool,
        typer.Option(
            "--pseudonymise",
            help="Give speakers and utterances numbers for names; copies the audio. The key is "
            "kept in the folder private.",
            rich_help_panel=RUNNING,
        ),
    ] = False,
    model: _Model = None,
    workers: _Workers = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace what was prepared in that folder before.",
            rich_help_panel=RUNNING,
        ),
    ] = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Make a corpus to train on: read, check, spell and split a source.

    Writes manifest.jsonl, data-card.html, .md and .json, and what was
    found, left out and changed (faults, dropped, changes .jsonl).
    Nothing is sent anywhere.
    """
    with err.status("starting", spinner="dots"):
        from speechtl import preparation  # noqa: PLC0415
        from speechtl.report import findings as told  # noqa: PLC0415
        from speechtl.text.spelling import Spelling  # noqa: PLC0415
    options = _options(accent, speaker, licence, column, tier, from_path, audio)
    named = {"train": train_speakers, "dev": dev_speakers, "test": test_speakers}
    settings = preparation.Preparation(
        relabelled=_relabelled(relabel),
        accents=_listed(accents),
        spelling=Spelling(
            numbers=_one_of("--numbers", numbers, ("keep", "words")),
            punctuation=_one_of("--punctuation", punctuation, ("keep", "drop")),
            case=_one_of("--case", case, ("keep", "lower", "upper")),
        ),
        trim=trim,
        copy_audio=copy_audio,
        pseudonymise=pseudonymise,
        split=_plan(shares, minutes, disjoint, stratify, named, seed=seed, resplit=resplit),
        folds=folds,
    )
    made = preparation.prepare(
        _read(source, kind, options),
        output,
        settings,
        model=_loaded(model),
        workers=workers,
        overwrite=overwrite,
        track=progress.silent if quiet else progress.bars(err),
    )
    out.print(told.render_prepared(made.findings, made.leakage, made.notes), highlight=False)
    places = "\n".join(f"Wrote {escape(str(path))}" for path in made.files)
    out.print(places, highlight=False, soft_wrap=True)


@app.command(epilog=EXIT_CODES, context_settings=HELP)
def align(
    recording: Annotated[
        Path, typer.Argument(help="A recording of any length.", show_default=False)
    ],
    transcript: Annotated[
        Path,
        typer.Argument(
            help="Its text (UTF-8): a line or a sentence becomes an utterance.", show_default=False
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            help="The folder that gets manifest.jsonl, with scores beside.",
            rich_help_panel=RUNNING,
            show_default=False,
        ),
    ],
    accent: Annotated[
        str, typer.Option(help="The accent.", rich_help_panel=SOURCE, show_default=False)
    ],
    speaker: Annotated[
        str | None,
        typer.Option(help="Who speaks, where the transcript does not say.", rich_help_panel=SOURCE),
    ] = None,
    speakers: Annotated[
        bool,
        typer.Option(
            "--speakers",
            help="Lines such as 'ANNA: hello' name who speaks; the name is not looked for in the "
            "speech.",
            rich_help_panel=SOURCE,
        ),
    ] = False,
    licence: _Licence = None,
    model: Annotated[
        str,
        typer.Option(
            help="A CTC model, the better it knows the accent the better.", rich_help_panel=RUNNING
        ),
    ] = "starter-wav2vec2",
    longest: Annotated[
        float, typer.Option(help="Seconds of an utterance, at most.", rich_help_panel=RUNNING)
    ] = 15.0,
    lowest_score: Annotated[
        float | None,
        typer.Option(
            help="Sentences that score less are left out and listed (0 to 1); 0.45 by default.",
            rich_help_panel=RUNNING,
        ),
    ] = None,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Cut a long recording into utterances by its transcript, which has no times.

    What fits nowhere is listed in left-out.jsonl, and speech without text
    in unwritten.jsonl. The audio is not copied.
    """
    with err.status("starting", spinner="dots"):
        from speechtl import alignment, preparation  # noqa: PLC0415
        from speechtl.files import read_text  # noqa: PLC0415
    found = alignment.align(
        _loaded(model),
        recording,
        read_text(transcript),
        speakers=speakers,
        longest_s=longest,
        lowest_score=alignment.LOWEST_SCORE if lowest_score is None else lowest_score,
        track=progress.silent if quiet else progress.bars(err),
    )
    corpus = alignment.utterances(recording, found, accent=accent, speaker=speaker, licence=licence)
    files = preparation.write_alignment(corpus, found, output)
    scores = sorted(each.score for each in found.utterances)
    out.print(
        f"{len(corpus)} utterances of {sum(each.duration for each in corpus) / 60:.1f} minutes; "
        f"scores {scores[0]:.2f} to {scores[-1]:.2f}, median {scores[len(scores) // 2]:.2f}"
        if scores
        else "no utterance",
        highlight=False,
    )
    for left in found.left_out[:10]:
        out.print(f"  left out ({left.score:.2f}): {escape(left.text)}", highlight=False)
    if len(found.left_out) > 10:
        out.print(f"  and {len(found.left_out) - 10} more sentences left out", highlight=False)
    unwritten = sum(each.end - each.start for each in found.unwritten)
    if unwritten:
        out.print(f"  {unwritten:.1f} s of speech are not in the text", highlight=False)
    out.print(
        "\n".join(f"Wrote {escape(str(path))}" for path in files), highlight=False, soft_wrap=True
    )
    if not corpus:
        raise typer.Exit(3)


def corpora(
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="File that gets the list as JSON; - is standard output."),
    ] = None,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """List the corpora that are known by name, and whether they are here.

    They are looked for in the folder that SPEECHTL_CORPORA names, by default
    ~/speechtl-corpora, and in the cache of the Hugging Face hub.
    """
    from speechtl import corpora as known  # noqa: PLC0415

    table = Table(
        "name", "corpus", "hours", "speakers", "licence", "here", box=None, pad_edge=False
    )
    rows = []
    for name, corpus in known.KNOWN.items():
        place = known.whereabouts(name)
        table.add_row(
            *map(escape, (name, corpus.title, corpus.hours, corpus.speakers, corpus.licence)),
            "-" if place is None else escape(str(place)),
        )
        rows.append(
            {
                "name": name,
                "title": corpus.title,
                "hours": corpus.hours,
                "speakers": corpus.speakers,
                "licence": corpus.licence,
                "url": corpus.url,
                "accents": list(corpus.accents),
                "how_to_get": corpus.how_to_get,
                "note": corpus.note,
                "here": None if place is None else str(place),
            }
        )
    text = json.dumps(rows, ensure_ascii=False, indent=2) + "\n"
    if json_file is not None and str(json_file) != "-":
        write_text(json_file, text)
    if str(json_file) == "-":
        typer.echo(text, nl=False)
        return
    out.print(table)
    out.print()
    for corpus in known.KNOWN.values():
        out.print(f"[bold]{escape(corpus.name)}[/]  {escape(corpus.how_to_get)}", highlight=False)
        if corpus.accents:
            out.print(f"  accents: {escape(', '.join(corpus.accents))}", highlight=False)
        if corpus.note:
            out.print(f"  {escape(corpus.note)}", highlight=False)
        out.print(f"  {escape(corpus.url)}", highlight=False)
    out.print(f"\nLooked for in {escape(str(known.root()))}", highlight=False, soft_wrap=True)


# --- what options mean ----------------------------------------------------------------------------


def _options(
    accent: str | None,
    speaker: str | None,
    licence: str | None,
    column: Sequence[str] | None,
    tier: Sequence[str] | None,
    from_path: Sequence[str] | None,
    audio: Path | None,
) -> Options:
    from speechtl.sources import Options  # noqa: PLC0415

    patterns = {}
    for field, text in _pairs("--from-path", from_path).items():
        if field not in {"speaker", "accent", "sex", "split"}:
            raise ConfigError(f"--from-path finds speaker, accent, sex or split, not '{field}'")
        try:
            patterns[field] = re.compile(text)
        except re.error as error:
            raise ConfigError(
                f"--from-path {field}={text}: is no regular expression ({error})"
            ) from None
        if not patterns[field].groups:
            raise ConfigError(f"--from-path {field}={text}: needs a group, such as '^([^/]+)/'")
    return Options(
        columns=_pairs("--column", column),
        tiers=tuple(tier or ()),
        audio=audio,
        accent=accent,
        speaker=speaker,
        licence=licence,
        patterns=patterns,
    )


def _pairs(option: str, given: Sequence[str] | None) -> dict[str, str]:
    found = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise ConfigError(f"{option} takes FIELD=VALUE, such as text=sentence; got '{text}'")
        found[name.strip()] = value.strip()
    return found


def _relabelled(given: Sequence[str] | None) -> dict[tuple[str, str | None], str]:
    found = {}
    for name, value in _pairs("--set", given).items():
        field, colon, old = name.partition(":")
        if field not in {"accent", "speaker", "sex", "licence", "split"}:
            raise ConfigError(f"--set takes accent, speaker, sex, licence or split, not '{field}'")
        found[field, old if colon else None] = value
    return found


def _plan(
    shares: str,
    minutes: str | None,
    disjoint: str,
    stratify: str,
    named: dict[str, str | None],
    *,
    seed: int,
    resplit: bool,
) -> SplitPlan:
    from speechtl.splits import SplitPlan  # noqa: PLC0415

    apart = _one_of("--disjoint", disjoint, ("speaker", "speaker+prompt", "prompt", "none"))
    evenly = _one_of("--stratify", stratify, ("accent+sex", "accent", "sex", "none"))
    values: dict[str, Any] = {
        "disjoint": () if apart == "none" else tuple(apart.split("+")),
        "stratify": () if evenly == "none" else tuple(evenly.split("+")),
        "shares": _numbers("--shares", shares),
        "minutes": None if minutes is None else _numbers("--minutes", minutes, open_ended=True),
        "speakers": {name: _listed(text) for name, text in named.items() if text is not None},
        "seed": seed,
        "resplit": resplit,
    }
    return SplitPlan(**values)


def _numbers(option: str, text: str, *, open_ended: bool = False) -> tuple[float | None, ...]:
    parts = [part.strip() for part in text.split(",")]
    try:
        found = tuple(None if open_ended and part == "-" else float(part) for part in parts)
    except ValueError:
        found = ()
    if len(found) != 3:
        raise ConfigError(f"{option} takes three numbers, such as 60,5,15; got '{text}'")
    return found


def _one_of(option: str, value: str, choices: tuple[str, ...]) -> Any:
    if value not in choices:
        raise ConfigError(f"{option} is one of {', '.join(choices)}; got '{value}'")
    return value


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(entry.strip() for entry in (text or "").split(",") if entry.strip())


def _read(source: str, kind: str | None, options: Options) -> Reading:
    from speechtl import corpora as known  # noqa: PLC0415
    from speechtl import sources  # noqa: PLC0415

    with err.status(f"reading {escape(source)}", spinner="dots"):
        return known.read(source, options) if kind is None else sources.read(source, kind, options)


@overload
def _loaded(model: None) -> None: ...
@overload
def _loaded(model: str) -> SpeechModel: ...
@overload
def _loaded(model: str | None) -> SpeechModel | None: ...
def _loaded(model: str | None) -> SpeechModel | None:
    if model is None:
        return None
    from speechtl import models  # noqa: PLC0415

    with err.status(f"loading {escape(model)}", spinner="dots"):
        return models.load(model, device=models.pick_device("auto"))


def _store(source: str) -> Path:
    """Return the file in the user's cache that keeps what a source's recordings tell."""
    from speechtl.features.cache import default_folder  # noqa: PLC0415

    path = Path(source)
    name = str(path.resolve()) if path.exists() else source
    return (
        default_folder() / "recordings" / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.jsonl"
    )
