"""The command line: parsing and printing only."""

from __future__ import annotations

import errno
import os
import sys
import textwrap
import traceback
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from speechtl import __version__, data_commands, progress
from speechtl.console import EXIT_CODES, HELP, RUNNING, Debug, Quiet, complain, err, out
from speechtl.errors import ConfigError, OutputError, SpeechtlError
from speechtl.files import write_text

if TYPE_CHECKING:
    from speechtl.config import RunConfig
    from speechtl.pipeline import PartRow
    from speechtl.training import EpochRecord

__all__ = ["app", "main"]

app = typer.Typer(
    name="speechtl",
    help="Adapt pretrained speech recognisers to an accent, and prove that it helped.",
    epilog=EXIT_CODES,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=HELP,
)

app.add_typer(data_commands.app, name="data")
app.command(context_settings=HELP)(data_commands.corpora)

DATA = "What to adapt, and to what"
TRAINING = "How it is trained"
_DEVICE = typer.Option(
    help="auto, cpu, cuda or mps; auto takes a GPU where there is one.", rich_help_panel=RUNNING
)


def _version(asked: bool) -> None:
    if asked:
        out.print(__version__, highlight=False)
        raise typer.Exit


@app.callback()
def _speechtl(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command(epilog=EXIT_CODES, context_settings=HELP)
def adapt(
    accent: Annotated[
        str | None,
        typer.Option(help="The accent to adapt to, one in the corpus.", rich_help_panel=DATA),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="The model: starter-whisper (the default), starter-wav2vec2, a checkpoint folder, "
            "or a hub id such as openai/whisper-small or owner/name@revision.",
            rich_help_panel=DATA,
        ),
    ] = None,
    corpus: Annotated[
        str | None,
        typer.Option(
            help="The speech: starter, a .jsonl, .csv or .tsv manifest, or hf:ID_OR_FOLDER; by "
            "default the starter if it speaks the accent, else the accent's own corpus.",
            rich_help_panel=DATA,
        ),
    ] = None,
    general: Annotated[
        str | None,
        typer.Option(
            help="Corpus of the accent that the model knows already, which is scored and replayed "
            "too: given like --corpus, or none; by default the starter's if the model or the "
            "corpus is the starter's.",
            rich_help_panel=DATA,
        ),
    ] = None,
    general_accent: Annotated[
        str | None,
        typer.Option(help="The accent to take from it; general by default.", rich_help_panel=DATA),
    ] = None,
    control: Annotated[
        str | None,
        typer.Option(
            help="Corpus of an accent that the model knows, recorded as the accent's own was: it "
            "is scored too, to tell accent from recording; given like --corpus.",
            rich_help_panel=DATA,
        ),
    ] = None,
    control_accent: Annotated[
        str | None,
        typer.Option(
            help="The accent to take from it; by default the general one, else its only one.",
            rich_help_panel=DATA,
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            help="Deal the speakers to this many folds and test each once, by a training on the "
            "others; makes one report and no model; 0 leaves it out.",
            rich_help_panel=DATA,
        ),
    ] = None,
    untranscribed: Annotated[
        Path | None,
        typer.Option(
            help="Folder of recordings of the accent without transcripts, to train on with the "
            "model's own labels where it is sure of them.",
            rich_help_panel=DATA,
        ),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(
            help="How often these are labelled and trained on; 1 by default.", rich_help_panel=DATA
        ),
    ] = None,
    label_wer: Annotated[
        float | None,
        typer.Option(
            help="The most that such labels may be wrong together, as far as dev tells (WER, 0 to "
            "1); 0.3 by default.",
            rich_help_panel=DATA,
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Train on this many minutes of the accent's speech at most; all by default.",
            rich_help_panel=DATA,
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="A model with settings that suit it, from configs/presets, such as whisper-small.",
            rich_help_panel=DATA,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="YAML file of settings, such as an earlier run's config.yaml; it overrides the "
            "preset, and options override it.",
            rich_help_panel=DATA,
        ),
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            help="What trains: auto (the default) chooses by speech, model and device, and says "
            "why; head, new-head (of the transcripts' own characters), lora, top-layers, gradual, "
            "encoder (all above the feature encoder); for Whisper also decoder.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    top_layers: Annotated[
        int | None,
        typer.Option(
            help="How many encoder layers top-layers trains; 2 by default.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Passes over the training utterances, at most; training stops by itself when the "
            "dev set no longer improves.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help="AdamW's peak rate per step, such as 1e-4; by default what suits the model.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            help="Utterances in a batch; less takes less memory.", rich_help_panel=TRAINING
        ),
    ] = None,
    augment: Annotated[
        bool | None,
        typer.Option(
            "--augment/--no-augment",
            help="Vary speed, room, noise and level of training utterances; on by default.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    replay: Annotated[
        float | None,
        typer.Option(
            help="Share of general utterances among those trained on, from 0 to below 1.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    interpolate: Annotated[
        str | None,
        typer.Option(
            help="How far the kept weights lie from the base's towards the trained ones, above 0 "
            "to 1; auto (the default) takes what is best on dev within --max-forgetting.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    max_forgetting: Annotated[
        float | None,
        typer.Option(
            help="Points of WER that the general accent may lose on its dev set; 1 by default.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    copies: Annotated[
        int | None,
        typer.Option(
            help="Augmented copies of each utterance, which the epochs hear in turn; 3 by default.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    encoder_frames: Annotated[
        str | None,
        typer.Option(
            help="What a Whisper's decoder reads in training: all frames of the window (the "
            "default), or those under speech alone, which is faster.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            help="Whole number from 0 that draws splits, order, augmentation and dropout.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="Numbers to train in: float32, bf16, or auto for the device's best.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    device: Annotated[str | None, _DEVICE] = None,
    normaliser: Annotated[
        str | None,
        typer.Option(
            help="How texts are made alike before they are scored: plain, whisper-english or none, "
            "with an accent map such as plain+scots.",
            rich_help_panel=RUNNING,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="The run folder; runs/ACCENT by default.", rich_help_panel=RUNNING),
    ] = None,
    overwrite: Annotated[
        bool | None,
        typer.Option(
            "--overwrite", help="Replace an earlier run in that folder.", rich_help_panel=RUNNING
        ),
    ] = None,
    feature_cache: Annotated[
        bool | None,
        typer.Option(
            "--feature-cache/--no-feature-cache",
            help="Keep on disk what the frozen part gives, for later epochs and runs; on by "
            "default. `speechtl cache` shows it.",
            rich_help_panel=RUNNING,
        ),
    ] = None,
    cache_gb: Annotated[
        float | None,
        typer.Option(
            help="What the features of all runs may take on disk (GB); 20 by default.",
            rich_help_panel=RUNNING,
        ),
    ] = None,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Adapt a model to an accent, and score it before and after.

    The run folder gets model/ (a transformers checkpoint), hypotheses/,
    report.html, report.md, report.json, README.md (the model card) and
    config.yaml (every setting).

    Ctrl-C ends the training, but not the choice of the interpolation after
    it; what it reached is still scored and saved. With --folds it ends all
    of them, and the same command without --overwrite goes on.
    So it does with a run that was killed.
    """
    with err.status("starting", spinner="dots"):
        from speechtl import config as configuration  # noqa: PLC0415

    flags = _given(
        accent=accent,
        model=model,
        corpus=corpus,
        general=general,
        general_accent=general_accent,
        control=control,
        control_accent=control_accent,
        folds=folds,
        strategy=strategy,
        top_layers=top_layers,
        untranscribed=untranscribed,
        rounds=rounds,
        label_wer=label_wer,
        minutes=minutes,
        replay=replay,
        augment=augment,
        normaliser=normaliser,
        seed=seed,
        device=device,
        precision=precision,
        output=output,
        overwrite=overwrite,
        copies=copies,
        encoder_frames=encoder_frames,
        feature_cache=feature_cache,
        cache_gb=cache_gb,
        training=_given(
            epochs=epochs,
            learning_rate=learning_rate,
            batch_size=batch_size,
            interpolation=interpolate,
            max_forgetting=max_forgetting,
        ),
    )
    layers = configuration.merged(
        configuration.preset(preset) if preset else {},
        configuration.read_yaml(config) if config else {},
        flags,
    )
    _leave_out(layers, flags)
    if not layers.get("accent"):
        known = ", ".join(configuration.accent_names())
        raise ConfigError(f"name the accent to adapt to with --accent; known are: {known}")
    where = f"{config} with the options" if config else "the options"
    _adapt(configuration.run_config(layers, where=where), quiet=quiet)


def _leave_out(layers: dict[str, Any], flags: Mapping[str, Any]) -> None:
    """Unset what is not to be, with what of a file only goes with it."""
    if flags.get("control") == "none" and "control_accent" not in flags:
        layers.pop("control_accent", None)
    for name in ("general", "control"):
        if layers.get(name) == "none":
            layers[name] = None
    if flags.get("folds") == 0:
        layers.pop("folds")
        layers.pop("fold", None)


def _adapt(config: RunConfig, *, quiet: bool) -> None:
    with err.status("starting", spinner="dots"):
        from speechtl import folds, pipeline  # noqa: PLC0415
        from speechtl.report import terminal  # noqa: PLC0415
        from speechtl.run_folder import run_folder  # noqa: PLC0415
    listener = None if quiet else _Talking()
    directory = run_folder(config)
    if config.folds is not None and config.fold is None:
        report = folds.adapt_folds(config, listener)
        model = "Models: one for each fold, in " + str(directory / "folds")
        model += "; the same command without --folds, and with another --output, makes the one "
        model += "to use"
    else:
        report = pipeline.adapt(config, listener)
        model = "Model:  " + str(directory / "model")
    out.print(terminal.render(report))
    out.print(
        f"Report: {escape(str(directory / 'report.html'))}\n{escape(model)}",
        highlight=False,
        soft_wrap=True,
    )


class _Bars:
    """A `speechtl.pipeline.Listener` that shows on the terminal that work goes on, and no more."""

    def __init__(self) -> None:
        self.track = progress.bars(err)

    def busy(self, what: str) -> AbstractContextManager[object]:
        return err.status(escape(what), spinner="dots")

    def note(self, message: str) -> None:
        pass

    def parts(self, rows: Sequence[PartRow], cut: str) -> None:
        pass

    def epoch(self, record: EpochRecord, best: bool) -> None:
        pass


class _Talking(_Bars):
    """A `speechtl.pipeline.Listener` that also tells what is found and reached."""

    def note(self, message: str) -> None:
        wrapped = textwrap.fill(
            message,
            err.width,
            subsequent_indent=" " * (2 + len(message) - len(message.lstrip())),
            break_long_words=False,
            break_on_hyphens=False,
        )
        err.print(Text(wrapped), soft_wrap=True)

    def parts(self, rows: Sequence[PartRow], cut: str) -> None:
        err.print(Text("What trains", style="bold"))
        err.print(_part_table(rows, cut))

    def epoch(self, record: EpochRecord, best: bool) -> None:
        name = f"epoch {record.epoch}:" if record.epoch else "base model:"
        loss = " " * 12 if record.loss is None else f"loss {record.loss:<7.3f}"
        mark = "  best so far" if best and record.epoch else ""
        err.print(f"{name:12}{loss}dev WER {record.dev_wer:6.1%}{mark}", highlight=False)


def _part_table(rows: Sequence[PartRow], cut: str) -> Table:
    table = Table()
    table.add_column("part")
    table.add_column("parameters", justify="right")
    table.add_column("")
    for row in rows:
        state = "[green]trains[/]" if row.trained else "[dim]frozen[/]"
        if 0 < row.trained < row.parameters:
            state = f"[green]{row.trained:,} train[/]"
        marker = "  ← the cut" if row.part == cut else ""
        table.add_row(row.part, f"{row.parameters:,}", state + marker)
    trains = sum(row.trained for row in rows)
    total = sum(row.parameters for row in rows)
    table.add_section()
    table.add_row("all", f"{total:,}", f"{trains:,} train ({trains / total:.1%})")
    return table


@app.command(epilog=EXIT_CODES, context_settings=HELP)
def transcribe(
    audio: Annotated[
        list[Path],
        typer.Argument(
            help="Audio files (WAV, FLAC, Ogg, Opus, MP3, AIFF), or folders of them.",
            metavar="FILE_OR_FOLDER...",
            show_default=False,
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            help="A run's model folder, a starter's name, or a hub id such as owner/name@revision."
        ),
    ] = "starter-whisper",
    format: Annotated[  # noqa: A002
        str, typer.Option("--format", help="What to write: txt, json or tsv.")
    ] = "txt",
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder that gets a text file for each recording; without it they are printed."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace text files that are there already.")
    ] = False,
    batch_size: Annotated[
        int, typer.Option(help="Segments decoded together; less takes less memory.", min=1)
    ] = 8,
    device: Annotated[str, _DEVICE] = "auto",
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show no progress.", rich_help_panel=RUNNING)
    ] = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Transcribe recordings of any length, sample rate and channel count.

    A file that fails is told on standard error and does not stop the rest;
    the exit code is 3 then.
    """
    with err.status("starting", spinner="dots"):
        from speechtl import models, transcription  # noqa: PLC0415
    files = transcription.audio_files(audio)
    writer = transcription.writer(format, named=output is None and len(files) > 1)
    targets = (
        transcription.transcript_files(files, output, suffix=format, overwrite=overwrite)
        if output
        else {}
    )
    with err.status(f"loading {escape(model)}", spinner="dots"):
        loaded = models.load(model, device=models.pick_device(device))
    failures = 0
    for result in transcription.transcribe_files(
        loaded,
        files,
        batch_size=batch_size,
        track=progress.silent if quiet else progress.bars(err),
    ):
        if isinstance(result, transcription.Failure):
            failures += 1
            complain(result.reason)
        else:
            _emit(writer(result), targets.get(result.audio))
    if failures:
        err.print(f"{failures} of {len(files)} files could not be transcribed", highlight=False)
        raise typer.Exit(3)


def _emit(text: str, path: Path | None) -> None:
    if path is None:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    write_text(path, text)


@app.command(epilog=EXIT_CODES, context_settings=HELP)
def benchmark(
    accents: Annotated[
        str | None,
        typer.Option(
            help="Accents, separated by commas; by default scottish, lancashire, west_midlands and "
            "caribbean, for a learning curve scottish."
        ),
    ] = None,
    models: Annotated[
        str, typer.Option(help="Models as --model of adapt takes them, separated by commas.")
    ] = "starter-wav2vec2,starter-whisper",
    strategies: Annotated[
        str, typer.Option(help="Strategies, as --strategy of adapt takes them.")
    ] = "auto",
    seeds: Annotated[
        str | None,
        typer.Option(
            help="Whole numbers from 0, separated by commas; by default 0, for a learning curve "
            "0,1,2."
        ),
    ] = None,
    from_scratch: Annotated[
        bool,
        typer.Option(
            "--from-scratch",
            help="Also train the same architecture from random weights, on the same speech for "
            "the same number of steps: what the pretrained weights are worth.",
        ),
    ] = False,
    learning_curve: Annotated[
        bool,
        typer.Option(
            "--learning-curve",
            help="Train on growing shares of the speech, each of which holds the one before, and "
            "draw WER against minutes.",
        ),
    ] = False,
    minutes: Annotated[
        str | None,
        typer.Option(
            help="Minutes of a learning curve, separated by commas; 1,2,5,10,20 by default."
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the training utterances in each run, at most.")
    ] = None,
    output: Annotated[
        Path,
        typer.Option(help="Folder of the tables and of every run; what is there is not run again."),
    ] = Path("benchmarks"),
    device: Annotated[str, _DEVICE] = "auto",
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print the table alone.", rich_help_panel=RUNNING)
    ] = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Adapt each combination of accents, models, strategies and seeds, and print one table.

    Finished combinations are kept: the same command resumes where it stopped.
    """
    with err.status("starting", spinner="dots"):
        from speechtl import benchmark as bench  # noqa: PLC0415
        from speechtl import pipeline  # noqa: PLC0415
    learning_curve = learning_curve or minutes is not None
    every = "scottish,lancashire,west_midlands,caribbean"
    grid = bench.Grid(
        accents=_listed(("scottish" if learning_curve else every) if accents is None else accents),
        models=_listed(models),
        strategies=_listed(strategies) + (("from-scratch",) if from_scratch else ()),
        minutes=_numbers(minutes or "1,2,5,10,20") if learning_curve else (None,),
        seeds=_listed(("0,1,2" if learning_curve else "0") if seeds is None else seeds),
        epochs=epochs,
        device=device,
    )

    def say(line: str) -> None:
        if not quiet:
            err.print(escape(line), highlight=False)

    listener = pipeline.Silent() if quiet else _Bars()
    rows = bench.run(grid, output, say=say, adapt=lambda config: pipeline.adapt(config, listener))
    out.print(bench.table(rows))
    picture = "learning-curve.png" if learning_curve else "benchmark.png"
    tables = (escape(str(output / name)) for name in ("benchmark.md", "benchmark.csv", picture))
    out.print(f"Table: {', '.join(tables)}", highlight=False, soft_wrap=True)
    if any(row.error for row in rows):
        raise typer.Exit(1)


_NORMALISER = typer.Option(
    help="none, plain or whisper-english, with an accent map such as plain+scots; by default "
    "that of the run's report."
)


@app.command(epilog=EXIT_CODES, context_settings=HELP)
def score(
    run: Annotated[Path, typer.Argument(help="A run's folder.", show_default=False)],
    normaliser: Annotated[str | None, _NORMALISER] = None,
    pronunciations: Annotated[
        Path | None,
        typer.Option(
            help="Pronunciation dictionary in the format of CMUdict: words are then grouped by "
            "their phones, not by their spelling."
        ),
    ] = None,
    trn: Annotated[
        Path | None,
        typer.Option(help="Folder that gets what was scored as NIST's trn files, for sclite."),
    ] = None,
    stm: Annotated[
        Path | None, typer.Option(help="Folder that gets it as stm and ctm files, with times.")
    ] = None,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Make a run's reports anew from its hypotheses; no model is needed.

    Writes report.html, report.md, report.json and README.md in the run's
    folder. Those of an earlier version of speechtl are read too.
    """
    with err.status("scoring", spinner="dots"):
        from speechtl import nist, scoring  # noqa: PLC0415
        from speechtl.report import terminal, write_all  # noqa: PLC0415

        phones = None if pronunciations is None else scoring.read_pronunciations(pronunciations)
        report = scoring.remake_report(run, normaliser=normaliser, pronunciations=phones)
        hypotheses = scoring.read_hypotheses(run)
        write_all(report, hypotheses, run)
        used = report.facts.normaliser
        exported = (
            *(nist.write_trn(hypotheses, trn, normaliser=used) if trn else ()),
            *(nist.write_stm(hypotheses, stm, normaliser=used) if stm else ()),
        )
    out.print(terminal.render(report))
    lines = [f"Report: {run / 'report.html'}", *(f"Wrote {path}" for path in exported)]
    out.print(escape("\n".join(lines)), highlight=False, soft_wrap=True)


@app.command(epilog=EXIT_CODES, context_settings=HELP)
def compare(
    first: Annotated[
        Path, typer.Argument(help="A run's folder.", metavar="RUN_A", show_default=False)
    ],
    second: Annotated[
        Path, typer.Argument(help="Another one.", metavar="RUN_B", show_default=False)
    ],
    normaliser: Annotated[str | None, _NORMALISER] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="File that gets all of it as JSON.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Draws the resamples.", min=0)] = 0,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Test whether the adapted model of RUN_B is better than that of RUN_A.

    They are compared on the utterances that both runs tested, with the tests
    by speaker that judge an adaptation.
    """
    with err.status("comparing", spinner="dots"):
        from speechtl import scoring  # noqa: PLC0415
        from speechtl.report import terminal  # noqa: PLC0415

        found = scoring.compare(first, second, normaliser=normaliser, seed=seed)
        if json_file is not None:
            write_text(json_file, found.to_json())
    out.print(terminal.render_comparison(found))


@app.command(context_settings=HELP)
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove all of it.")] = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Show what features are kept on disk, or remove them.

    They lie in the folder that SPEECHTL_CACHE names, by default in the user's cache.
    """
    from speechtl.features.cache import FeatureCache, default_folder  # noqa: PLC0415

    kept = FeatureCache(default_folder() / "features", limit_bytes=0)
    if clear:
        out.print(f"removed {kept.clear() / 1e6:,.0f} MB from {kept.folder}", highlight=False)
        return
    table = Table("model", "cut", "copies of seed", "frames", "MB", box=None, pad_edge=False)
    usage = kept.usage()
    for shelf in usage:
        recipe = shelf.recipe
        table.add_row(
            *(escape(str(recipe.get(key, "?"))) for key in ("model", "cut")),
            "recordings" if recipe.get("seed") is None else str(recipe["seed"]),
            str(recipe.get("frames", "?")),
            f"{shelf.size / 1e6:,.0f}",
        )
    if usage:
        out.print(table)
    size = sum(shelf.size for shelf in usage)
    out.print(f"{size / 1e6:,.0f} MB in {kept.folder}", highlight=False, soft_wrap=True)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(entry.strip() for entry in text.split(",") if entry.strip())


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(map(float, _listed(text)))
    except ValueError:
        raise ConfigError(
            f"--minutes takes numbers separated by commas, such as 1,2,5; got '{text}'"
        ) from None


def _given(**values: Any) -> dict[str, Any]:
    """Return what was set: an option left out says nothing, so that it overrides nothing."""
    return {key: value for key, value in values.items() if value is not None and value != {}}


def _calm() -> None:
    """Keep libraries' own bars and advice from the terminal; errors still come through."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DATASETS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    # Whoever asks for warnings (python -W) gets them.
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


def main(
    arguments: Sequence[str] | None = None,
    *,
    command: str | None = None,
    program: str = "speechtl",
) -> int:
    """Run the command line and return its exit code; print an input's error as one message.

    `--debug` anywhere among the arguments shows the traceback too.

    Args:
        arguments: What was typed; None takes the process's own, and keeps libraries' warnings and
            progress bars out of its terminal.
        command: The one command that `arguments` are for, such as `data prepare`; None lets the
            first of them name it.
        program: What the usage calls the program.
    """
    if arguments is None:
        _calm()
        arguments = sys.argv[1:]
    chosen: Any = typer.main.get_command(app)
    for name in command.split() if command else ():
        chosen = chosen.commands[name]
    try:
        chosen.main(args=list(arguments), prog_name=program)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0
        if code == 130:
            complain("stopped by hand; what was finished before is kept")
        return code
    except SpeechtlError as error:
        if "--debug" in arguments:
            traceback.print_exc()
        complain(str(error))
        return error.exit_code
    except OSError as error:
        remedies = {
            errno.ENOSPC: "the disk is full: free some space or name another folder with --output",
            errno.EACCES: f"{error.filename}: may not be opened; change its permissions or name "
            "another place",
        }
        if error.errno not in remedies or "--debug" in arguments:
            raise
        complain(remedies[error.errno])
        return OutputError.exit_code
    return 0
