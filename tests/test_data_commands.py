"""`data prepare`, `data check`, `data align` and `corpora`: what is printed, and how they end."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from rich.console import Console
from rich.text import Text
from test_preparation import TAKES, UTTERANCES, change, rows_of, spoken, write_rows, write_talks

from speechtl import alignment, cli, corpora, data_commands, preparation
from speechtl.audio import SAMPLE_RATE, write
from speechtl.checks import recordings
from speechtl.corpora import starter
from speechtl.corpus import Corpus, Utterance
from speechtl.faults import Fault
from speechtl.manifest import read_manifest
from speechtl.report import data_card as pages
from speechtl.report import findings as told_findings
from speechtl.splits import SplitPlan
from speechtl.text.spelling import Spelling

SCRIPTS = Path(__file__).parents[1] / "scripts"
GROUP: Any = typer.main.get_command(cli.app)
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function from arguments to exit code, standard output and standard error."""

    def typed(*arguments: object) -> tuple[int, str, str]:
        code = cli.main([str(argument) for argument in arguments])
        told = capsys.readouterr()
        return code, told.out, told.err

    return typed


@pytest.fixture(scope="session")
def _source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_talks(tmp_path_factory.mktemp("source") / "talks")


@pytest.fixture
def talks(_source: Path, tmp_path: Path) -> Path:
    """Return a table of 27 recordings of six Scottish speakers and three of Lancashire."""
    return Path(shutil.copytree(_source.parent, tmp_path / "talks")) / _source.name


@pytest.fixture
def scottish(talks: Path) -> Path:
    """Return the table without those of Lancashire: nothing is wrong with it."""
    write_rows(talks, (row for row in rows_of(talks) if row["accent"] == "scottish"))
    return talks


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Return a folder that is not there yet."""
    return tmp_path / "prepared"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return a list that gets what is decoded to be measured."""
    found: list[Any] = []
    measure = recordings._stretch_facts

    def counted(*given: Any) -> Any:
        found.append(given)
        return measure(*given)

    monkeypatch.setattr(recordings, "_stretch_facts", counted)
    return found


@pytest.fixture(autouse=True)
def _plain_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the sounds out of the data card, which take half of the time of a small corpus."""
    monkeypatch.setattr(pages, "html", lambda card: card.to_json())


# --- help -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["data prepare", "data check", "data align", "corpora"])
def test_every_option_has_a_sentence(name: str, run: Run) -> None:
    command = GROUP
    for part in name.split():
        command = command.commands[part]
    assert set(GROUP.commands["data"].commands) == {"prepare", "check", "align"}
    for parameter in command.params:
        assert parameter.help, parameter.name
        assert parameter.help[0].isupper(), parameter.name
        assert parameter.help.endswith("."), parameter.name
    code, told, _ = run(*name.split(), "-h")
    assert code == 0
    assert name == "corpora" or "Exit codes: 0 done;" in told
    assert all(len(line) <= 80 for line in told.splitlines())


def test_help_imports_no_torch() -> None:
    code = (
        "import sys; from speechtl.cli import main; "
        "asked = ('data', 'data check', 'data prepare', 'data align', 'corpora'); "
        "codes = [main([*each.split(), '--help']) for each in asked]; "
        "sys.exit(any(codes) or 'torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


def test_the_script_works_from_any_folder_and_names_itself(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPTS / "prepare.py"), "--help"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert "Usage: prepare.py [OPTIONS]" in done.stdout
    assert not done.stderr


# --- what options mean ----------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any]]:
    """Return a list that gets the reading and the settings of a prepare that is not done."""
    found: list[tuple[Any, Any]] = []

    def caught(reading: Any, output: Path, settings: Any, **_: Any) -> None:
        found.append((reading, settings))
        raise KeyboardInterrupt

    monkeypatch.setattr(preparation, "prepare", caught)
    return found


def test_without_options_speakers_are_kept_apart_and_texts_as_they_are(
    run: Run, talks: Path, out: Path, asked: list[tuple[Any, Any]]
) -> None:
    assert run("data", "prepare", talks, "--output", out)[0] == 130
    assert asked[0][1] == preparation.Preparation()


@pytest.mark.parametrize(
    ("options", "plan"),
    [
        ("--shares 0.5,0.25,0.25", {"shares": (0.5, 0.25, 0.25)}),
        ("--minutes 60,5,-", {"minutes": (60.0, 5.0, None)}),
        ("--disjoint speaker+prompt", {"disjoint": ("speaker", "prompt")}),
        ("--disjoint none", {"disjoint": ()}),
        ("--stratify sex", {"stratify": ("sex",)}),
        ("--stratify none", {"stratify": ()}),
        (
            "--train-speakers Mo,Al --dev-speakers Bo --test-speakers Di,Ed",
            {"speakers": {"train": ("Mo", "Al"), "dev": ("Bo",), "test": ("Di", "Ed")}},
        ),
        ("--resplit --seed 7", {"resplit": True, "seed": 7}),
    ],
)
def test_options_say_how_it_is_split(
    run: Run, talks: Path, out: Path, asked: list[tuple[Any, Any]], options: str, plan: Any
) -> None:
    run("data", "prepare", talks, "--output", out, *options.split())
    assert asked[0][1] == preparation.Preparation(split=SplitPlan(**plan))


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        (
            ["--numbers", "words", "--punctuation", "drop", "--case", "lower"],
            {"spelling": Spelling(numbers="words", punctuation="drop", case="lower")},
        ),
        (["--accents", "scottish, irish"], {"accents": ("scottish", "irish")}),
        (
            ["--set", "licence=CC0", "--set", "accent:Scottish English=scottish"],
            {"relabelled": {("licence", None): "CC0", ("accent", "Scottish English"): "scottish"}},
        ),
        (
            ["--trim", "--copy-audio", "--pseudonymise", "--folds", "4"],
            {"trim": True, "copy_audio": True, "pseudonymise": True, "folds": 4},
        ),
    ],
)
def test_options_say_what_is_done(
    run: Run,
    talks: Path,
    out: Path,
    asked: list[tuple[Any, Any]],
    options: list[str],
    settings: Any,
) -> None:
    run("data", "prepare", talks, "--output", out, *options)
    assert asked[0][1] == preparation.Preparation(**settings)


def test_options_say_what_a_table_does_not(
    run: Run, talks: Path, out: Path, asked: list[tuple[Any, Any]]
) -> None:
    rows = rows_of(talks)
    write_rows(talks, ({"utt": r["id"], "audio": r["audio"], "said": r["text"]} for r in rows))
    run(
        "data", "prepare", talks, "--output", out, "--kind", "table",
        "--column", "id=utt", "--column", "text=said",
        "--from-path", "speaker=([A-Z][a-z]+)-take", "--accent", "scots", "--licence", "CC0",
    )  # fmt: skip
    reading = asked[0][0]
    assert not reading.errors()
    first = reading.corpus[0]
    assert (first.id, first.text) == (rows[0]["id"], rows[0]["text"])
    assert (first.speaker, first.accent, first.licence) == (rows[0]["speaker"], "scots", "CC0")


def test_options_say_where_the_recordings_of_transcripts_are_and_who_speaks(
    run: Run, talks: Path, out: Path, asked: list[tuple[Any, Any]]
) -> None:
    texts = talks.parent / "texts"
    texts.mkdir()
    for row in rows_of(talks):
        (texts / f"{row['id']}.txt").write_text(row["text"])
    run(
        "data", "prepare", texts, "--output", out, "--kind", "folder",
        "--audio", talks.parent / "clips", "--speaker", "Mo", "--accent", "scots",
    )  # fmt: skip
    reading = asked[0][0]
    assert not reading.errors()
    assert {each.audio.parent for each in reading.corpus} == {talks.parent / "clips"}
    assert reading.corpus.speakers == ("Mo",)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--shares", "60,20"], "--shares takes three numbers, such as 0.7,0.1,0.2; got '60,20'"),
        (["--shares", "60,20,20"], "shares must be three positive numbers that add up to 1"),
        (["--shares", "0.7,0.3,-"], "--shares takes three numbers"),
        (["--minutes", "a,b,c"], "--minutes takes three numbers, such as 60,5,15; got 'a,b,c'"),
        (["--minutes", "nan,1,1"], "minutes must be three positive numbers"),
        (["--disjoint", "speakers"], "--disjoint is one of speaker, speaker+prompt, prompt, none;"),
        (["--stratify", "age"], "--stratify is one of accent+sex, accent, sex, none; got 'age'"),
        (["--numbers", "digits"], "--numbers is one of keep, words; got 'digits'"),
        (["--case", "title"], "--case is one of keep, lower, upper; got 'title'"),
        (["--set", "licence"], "--set takes FIELD=VALUE"),
        (["--set", "id=x"], "--set takes accent, speaker, sex, licence or split, not 'id'"),
        (["--set", "split=eval"], "--set split is one of train, dev, test; got 'eval'"),
        (["--set", "sex=f", "--set", "sex=m"], "--set names 'sex' twice; give it once"),
        (
            ["--from-path", "text=(.)"],
            "--from-path finds speaker, accent, sex or split, not 'text'",
        ),
        (["--from-path", "speaker=("], "is no regular expression"),
        (["--from-path", "speaker=x"], "needs a group"),
        (["--kind", "excel"], "unknown kind of source 'excel'"),
        (["--accents", "welsh"], "no utterance of the accent 'welsh'"),
        (["--folds", "1"], "greater than or equal to 2"),
        (["--folds", "3", "--minutes", "1,1,1"], "take no minutes"),
        (["--test-speakers", "Mo", "--train-speakers", "Mo"], "named for two: Mo"),
    ],
)
def test_a_wrong_option_of_prepare_ends_with_2_and_one_message(
    run: Run, talks: Path, out: Path, options: list[str], told: str
) -> None:
    code, printed, said = run("data", "prepare", talks, "--output", out, *options)
    assert (code, printed) == (2, "")
    assert told in " ".join(said.replace("│", " ").split())
    assert "Traceback" not in said
    assert not out.exists()


# --- prepare --------------------------------------------------------------------------------------


def test_prepare_tells_what_was_found_and_made_and_ends_with_what_to_do_next(
    run: Run, talks: Path, out: Path
) -> None:
    change(talks, Morwenna_take_0={"text": ""}, Ruaridhan_take_0={"text": "TWO  SPACES"})
    code, told, said = run("data", "prepare", talks, "--output", out, "--folds", "2")
    assert code == 0
    assert said == ""
    lines = told.splitlines()
    assert "error text-empty (1): the transcript is empty" in lines
    assert "  talks.jsonl:1: Morwenna-take-0: the transcript (text) is empty" in lines
    assert any(line.startswith("fold 2: train ") for line in lines)
    assert any(
        re.match(r"26 utterances of 9 speakers; 1 left out, 1 changed; 0 errors and \d", line)
        for line in lines
    )
    assert any(re.match(r"train  +\d+ +0\.\d +\d +fem", line) for line in lines)
    assert f"Wrote {out / 'manifest.jsonl'}" in lines
    assert f"Wrote {out / 'manifest.fold-2.jsonl'}" in lines
    assert lines[-2] == f"Data card: {out / 'data-card.html'}"
    manifest = out / "manifest.jsonl"
    assert lines[-1] == (
        f"Next: python scripts/adapt.py --accent scottish --corpus {manifest} --folds 2"
    )


def test_what_is_told_of_splits_is_of_those_that_were_made(
    run: Run, talks: Path, out: Path
) -> None:
    rows = rows_of(talks)
    for number, row in enumerate(rows):  # each speaker is in all three
        row["split"] = ("train", "dev", "test")[number // (UTTERANCES // TAKES)]
    write_rows(talks, rows)
    code, told, _ = run("data", "prepare", talks, "--output", out)
    assert code == 3
    assert "error split-speaker (27)" in told
    assert told.splitlines()[-1].startswith("It cannot be trained on before the errors that stay")
    assert "Next:" not in told
    code, told, _ = run("data", "prepare", talks, "--output", out, "--overwrite", "--resplit")
    assert code == 0
    assert "split-speaker" not in told
    code, *_ = run(
        "data", "prepare", talks, "--output", out, "--overwrite", "--resplit", "--disjoint", "none"
    )
    assert code == 0  # as it was asked for


@pytest.mark.parametrize(
    ("splits", "told"),
    [
        # Six of seven are tested, which is enough.
        (
            ["train", "dev"] + ["test"] * 6,
            "Next: python scripts/adapt.py --accent 'a b' --corpus M",
        ),
        (
            ["train", "dev", "test", "test"],
            "2 test speakers: too few for a verdict; --folds tests all 4, each once.\n"
            "Next: python scripts/adapt.py --accent 'a b' --corpus M --folds 4",
        ),
        (
            ["train", "dev", "test"],
            "1 test speaker: too few for a verdict; --folds tests all 3, each once.\n"
            "Next: python scripts/adapt.py --accent 'a b' --corpus M --folds 3",
        ),
        (
            ["test"] * 9,
            "Train, dev or test is empty; --folds tests all 9, each once.\n"
            "Next: python scripts/adapt.py --accent 'a b' --corpus M --folds 4",
        ),
        (
            ["train", "train"],
            "Next: add speakers; an accent needs three, to train on, choose by and test.",
        ),
    ],
)
def test_the_next_command_is_one_that_can_be_run(splits: list[str], told: str) -> None:
    corpus = Corpus(
        Utterance(f"u{n}", Path("/x.wav"), "a", f"s{n}", "a b", split=split)
        for n, split in enumerate(splits)
    )
    lines = told_findings.next_steps(corpus, Path("M"))
    assert "\n".join(line.plain for line in lines) == told


def test_the_next_command_adapts_to_what_was_prepared(
    run: Run, talks: Path, tmp_path: Path, tiny_models: dict[str, Path]
) -> None:
    out = tmp_path / "my corpus"
    code, told, _ = run(
        "data", "prepare", talks, "--output", out, "--copy-audio", "--model", tiny_models["ctc"],
        "--quiet",
    )  # fmt: skip
    assert code == 0
    shutil.rmtree(talks.parent)
    command = shlex.split(told.splitlines()[-1].removeprefix("Next: "))
    assert command[:2] == ["python", "scripts/adapt.py"]
    code, told, said = run(
        "adapt", *command[2:], "--model", tiny_models["ctc"], "--general", "none", "--epochs", 1,
        "--device", "cpu", "--precision", "float32", "--no-augment", "--output", tmp_path / "run",
        "--folds", 0,
    )  # fmt: skip
    assert code == 0, said
    assert (tmp_path / "run" / "report.html").is_file()
    tested = {row["id"] for row in rows_of(tmp_path / "run" / "hypotheses" / "target.base.jsonl")}
    corpus = read_manifest(out / "manifest.jsonl").where(accent="scottish", split="test")
    assert tested == {each.id for each in corpus}


def test_prepare_hears_nothing_again_after_a_check_and_keeps_no_path_in_its_folder(
    run: Run, talks: Path, out: Path, decoded: list[Any]
) -> None:
    run("data", "check", talks)
    assert len(decoded) == UTTERANCES
    run("data", "check", talks)
    code, *_ = run("data", "prepare", talks, "--output", out, "--pseudonymise")
    assert (code, len(decoded)) == (0, UTTERANCES)
    assert not [path for path in out.rglob("*") if path.name.startswith(".")]
    assert list((Path(os.environ["SPEECHTL_CACHE"]) / "recordings").iterdir())


def test_a_cache_that_cannot_be_written_is_told_and_done_without(
    run: Run, talks: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SPEECHTL_CACHE", str(tmp_path / "file"))
    code, _, said = run("data", "prepare", talks, "--output", out)
    assert code == 0
    assert said.startswith("what recordings tell is not kept: cannot write ")


@pytest.mark.parametrize(("options", "code"), [([], 5), (["--overwrite"], 0)])
def test_an_earlier_corpus_is_replaced_if_asked(
    run: Run, talks: Path, out: Path, options: list[str], code: int
) -> None:
    run("data", "prepare", talks, "--output", out)
    found, told, said = run("data", "prepare", talks, "--output", out, *options)
    assert found == code
    assert ("give --overwrite to replace it" in said) == (code == 5)
    assert bool(told) == (code == 0)


def test_nothing_usable_ends_with_3(run: Run, talks: Path, out: Path) -> None:
    write_rows(talks, (row | {"text": ""} for row in rows_of(talks)))
    code, told, said = run("data", "prepare", talks, "--output", out)
    assert (code, told) == (3, "")
    assert said.startswith("error: ")
    assert "no utterance can be used; all were left out" in said


# --- check ----------------------------------------------------------------------------------------


def test_a_check_ends_with_0_where_nothing_is_wrong(run: Run, scottish: Path) -> None:
    code, told, said = run("data", "check", scottish)
    assert (code, said) == (0, "")
    assert told.splitlines() == [
        f"{scottish}: 18 utterances of 6 speakers",
        "nothing is wrong with it",
    ]


def test_a_check_ends_with_6_for_warnings_and_with_3_for_an_error(run: Run, scottish: Path) -> None:
    change(scottish, Morwenna_take_0={"text": "it was 1984"})
    code, told, _ = run("data", "check", scottish)
    assert code == 6
    assert told.splitlines()[-1] == "0 errors, 1 warning"
    change(scottish, Ruaridhan_take_0={"audio": "clips/gone.wav"})
    code, told, _ = run("data", "check", scottish)
    assert code == 3
    assert told.splitlines()[-1] == "1 error, 1 warning"
    assert "  talks.jsonl:2: Ruaridhan-take-0: audio 'clips/gone.wav' is missing" in told
    assert "  to do: put the file there or remove the row" in told


def test_three_of_a_kind_are_listed_or_all(run: Run, scottish: Path) -> None:
    write_rows(scottish, (row | {"text": "it was 1984"} for row in rows_of(scottish)))
    few, all_of_them = (run("data", "check", scottish, *more)[1] for more in ([], ["--all"]))
    assert (few.count("it was 1984"), "and 15 more" in few) == (3, True)
    assert (all_of_them.count("it was 1984"), "more" in all_of_them) == (18, False)


def test_json_has_every_fault_and_nothing_else_is_printed(
    run: Run, scottish: Path, tmp_path: Path
) -> None:
    write_rows(scottish, (row | {"text": "it was 1984"} for row in rows_of(scottish)))
    code, told, said = run("data", "check", scottish, "--json", "-")
    assert (code, said) == (6, "")
    found = json.loads(told)
    assert (found["utterances"], found["speakers"]) == (18, 6)
    digits = [row for row in found["faults"] if row["kind"] == "text-digits"]
    assert [row["place"] for row in digits] == [f"talks.jsonl:{line}" for line in range(1, 19)]
    assert set(digits[0]) == {"kind", "grade", "place", "utterance", "message", "remedy"}
    assert (found["errors"], found["warnings"]) == (0, len(found["faults"]))
    code, told, _ = run("data", "check", scottish, "--json", tmp_path / "faults.json")
    assert code == 6
    assert json.loads((tmp_path / "faults.json").read_text()) == found
    assert "text-digits" in told


def test_a_place_of_json_that_cannot_be_written_is_told_first(
    run: Run, scottish: Path, tmp_path: Path, decoded: list[Any]
) -> None:
    (tmp_path / "file").write_text("")
    code, told, said = run("data", "check", scottish, "--json", tmp_path / "file" / "x.json")
    assert (code, told) == (5, "")
    assert "is a file; name another folder" in said
    assert not decoded


def test_a_check_without_audio_decodes_nothing(
    run: Run, scottish: Path, decoded: list[Any]
) -> None:
    (scottish.parent / "clips" / "torn.wav").write_bytes(b"RIFF")
    change(
        scottish,
        Morwenna_take_0={"text": "it was 1984"},
        Ruaridhan_take_0={"audio": "clips/torn.wav"},
    )
    code, told, _ = run("data", "check", scottish, "--no-audio-checks")
    assert code == 6
    assert "text-digits" in told
    assert not decoded
    assert run("data", "check", scottish)[0] == 3


def test_with_a_model_what_it_cannot_spell_is_found(run: Run, scottish: Path) -> None:
    rows = rows_of(scottish)[:6]
    rows[0]["text"] += " 21"
    rows[1]["text"] += " ¿"
    rows[2]["text"] += " \N{SNOWMAN}"
    write_rows(scottish, rows)
    code, told, said = run("data", "check", scottish, "--model", "starter-wav2vec2", "--json", "-")
    assert code == 3, said
    found = json.loads(told)["faults"]
    lacking = {row["place"]: row["message"] for row in found if row["kind"] == "text-vocabulary"}
    assert "talks.jsonl:1" in lacking
    assert "2" in lacking["talks.jsonl:1"]
    assert not {"talks.jsonl:4", "talks.jsonl:5", "talks.jsonl:6"} & set(lacking)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_are_no_text_are_told_and_never_a_traceback(
    run: Run, scottish: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    for row in rows_of(scottish):
        (folder / row["speaker"]).mkdir(parents=True, exist_ok=True)
        shutil.copy(scottish.parent / row["audio"], folder / row["speaker"] / f"{row['id']}.ogg")
        (folder / row["speaker"] / f"{row['id']}.txt").write_text(row["text"])
    odd = os.fsencode(folder / "Morwenna") + b"/odd-\xff\n\x1b[31m"
    shutil.copy(folder / "Morwenna" / "Morwenna-take-0.ogg", os.fsdecode(odd + b".ogg"))
    Path(os.fsdecode(odd + b".txt")).write_text("hello")
    options = ("--accent", "scottish", "--licence", "CC0-1.0")
    code, told, said = run("data", "check", folder, *options)
    assert code == 3, said
    assert r"odd-\udcff\n\x1b[31m" in told
    code, told, _ = run("data", "check", folder, *options, "--json", "-")
    assert code == 3
    assert any(r"odd-\udcff\n" in row["place"] for row in json.loads(told)["faults"])
    code, told, said = run("data", "prepare", folder, "--output", tmp_path / "out", *options)
    assert code == 0, said
    assert len(read_manifest(tmp_path / "out" / "manifest.jsonl")) == 18


# --- what is printed ------------------------------------------------------------------------------

LONG = "/".join(["a-folder-with-a-long-name"] * 6) + "/talks.jsonl:117"


def lines_of(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> list[str]:
    """Return the lines of a fault with a long place, as they are printed 80 columns wide."""
    stream = io.StringIO()
    console = Console(file=stream, width=80, force_terminal=terminal, color_system=None)
    monkeypatch.setattr(data_commands, "out", console)
    fault = Fault(
        "text-digits", LONG, "a message of quite some words " * 4 + "[bold] 日本語 " * 9, "u1"
    )
    data_commands._say(told_findings._faults([fault], shown=3))
    data_commands._say([Text(f"Wrote {LONG}")])
    return stream.getvalue().splitlines()


def test_lines_are_whole_where_they_are_no_terminal_s(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_of(monkeypatch, terminal=False)
    assert len(lines) == 4
    assert lines[1].startswith(f"  {LONG}: u1: a message of quite")
    assert lines[1].count("[bold] 日本語") == 9
    assert lines[-1] == f"Wrote {LONG}"


def test_on_a_terminal_lines_are_wrapped_between_words_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = lines_of(monkeypatch, terminal=False)
    lines = lines_of(monkeypatch, terminal=True)
    assert len(lines) > len(whole)
    assert " ".join(lines).split() == " ".join(whole).split()
    assert all(Text(line).cell_len <= 81 for line in lines if LONG not in line)
    begins = lines.index(next(line for line in lines if LONG in line))
    assert lines[begins + 1].startswith("    ")  # below what it belongs to
    assert not lines[begins + 1].startswith("     ")


def test_a_command_is_one_line_on_a_terminal_too(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=40, force_terminal=True, color_system=None)
    monkeypatch.setattr(data_commands, "out", console)
    corpus = Corpus(
        Utterance(f"u{n}", Path("/x.wav"), "a", f"s{n}", "a b", split="test") for n in range(3)
    )
    data_commands._say(told_findings.next_steps(corpus, Path("data/mine/manifest.jsonl")))
    assert stream.getvalue().splitlines()[-1] == (
        "Next: python scripts/adapt.py --accent 'a b' --corpus data/mine/manifest.jsonl --folds 3"
    )


def test_a_table_is_not_squeezed_where_it_is_no_terminal_s(
    run: Run, talks: Path, out: Path
) -> None:
    rows = rows_of(talks)
    for row in rows:
        row["accent"] = f"{row['accent']} of a very long name {row['speaker']}"
    write_rows(talks, rows)
    code, told, _ = run("data", "prepare", talks, "--output", out, "--stratify", "none")
    assert code == 0
    [train] = [line for line in told.splitlines() if re.match(r"train  +\d", line)]
    assert train.count("of a very long name") == len(
        read_manifest(out / "manifest.jsonl").where(split="train").accents
    )


# --- align ----------------------------------------------------------------------------------------


@pytest.fixture
def interview(tmp_path: Path) -> tuple[Path, Path]:
    """Return a recording of four starter utterances with pauses, and its transcript."""
    corpus = starter.load().where(accent="general", split="test")[:4]
    pause = np.zeros(SAMPLE_RATE // 2, np.float32)
    parts = [part for each in corpus for part in (spoken(each), pause)]
    write(tmp_path / "interview.wav", np.concatenate([pause, *parts]))
    lines = [f"{each.text}.\n" for each in corpus]
    lines.insert(2, "The committee will publish its minutes tomorrow.\n")  # which nobody says
    (tmp_path / "interview.txt").write_text("".join(lines))
    return tmp_path / "interview.wav", tmp_path / "interview.txt"


def test_align_writes_a_manifest_that_can_be_read_and_tells_what_is_left_out(
    run: Run, interview: tuple[Path, Path], out: Path
) -> None:
    code, told, said = run(
        "data", "align", *interview, "--output", out, "--accent", "general", "--speaker", "anna",
        "--licence", "CC0-1.0", "--quiet",
    )  # fmt: skip
    assert (code, said) == (0, "")
    corpus = read_manifest(out / "manifest.jsonl")
    said_lines = interview[1].read_text().splitlines()
    assert [each.text for each in corpus] == said_lines[:2] + said_lines[3:]
    assert {(each.speaker, each.accent, each.licence) for each in corpus} == {
        ("anna", "general", "CC0-1.0")
    }
    assert {each.audio for each in corpus} == {interview[0].resolve()}
    assert [row["id"] for row in rows_of(out / "alignment.jsonl")] == [each.id for each in corpus]
    assert [row["text"] for row in rows_of(out / "left-out.jsonl")] == [said_lines[2]]
    assert rows_of(out / "unwritten.jsonl") == []
    lines = told.splitlines()
    assert lines[0].startswith("4 utterances of 0.")
    assert lines[1].endswith(f"): {said_lines[2]}")
    assert lines[1].startswith("  left out (0.")
    assert f"Wrote {out / 'manifest.jsonl'}" in lines
    assert lines[-1] == (
        f"Next: python scripts/prepare.py {out / 'manifest.jsonl'} --output FOLDER"
    )


def test_align_without_an_utterance_ends_with_3_and_without_a_manifest(
    run: Run, interview: tuple[Path, Path], out: Path
) -> None:
    interview[1].write_text("The committee will publish its minutes tomorrow.\n")
    code, told, _ = run(
        "data", "align", *interview, "--output", out, "--accent", "general", "--speaker", "anna"
    )
    assert code == 3
    assert told.startswith("no utterance\n")
    assert not (out / "manifest.jsonl").exists()
    assert len(rows_of(out / "left-out.jsonl")) == 1


def test_a_whisper_is_refused_for_an_alignment(
    run: Run, interview: tuple[Path, Path], out: Path, tiny_models: dict[str, Path]
) -> None:
    code, told, said = run(
        "data", "align", *interview, "--output", out, "--accent", "general", "--speaker", "anna",
        "--model", tiny_models["whisper"],
    )  # fmt: skip
    assert (code, told) == (4, "")
    assert len(said.splitlines()) == 1
    assert "alignment needs a CTC model" in said
    assert not out.exists()


@pytest.mark.parametrize(
    ("given", "code", "told"),
    [
        ({"manifest": True}, 5, "manifest.jsonl: is there already; name another folder with --out"),
        ({"transcript": "gone.txt"}, 3, "gone.txt: cannot be read (No such file or directory)"),
        ({"speaker": []}, 2, "nothing says who speaks: name the speaker with --speaker"),
    ],
)
def test_what_cannot_be_aligned_is_told_before_a_model_is_loaded(
    run: Run,
    interview: tuple[Path, Path],
    out: Path,
    given: dict[str, Any],
    code: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(data_commands, "_loaded", lambda _: pytest.fail("it was loaded"))
    monkeypatch.setattr(alignment, "align", lambda *_, **__: pytest.fail("it was aligned"))
    if given.get("manifest"):
        out.mkdir()
        (out / "manifest.jsonl").write_text("mine")
    found, _, said = run(
        "data", "align", interview[0], given.get("transcript", interview[1]), "--output", out,
        "--accent", "general", *given.get("speaker", ["--speaker", "anna"]),
    )  # fmt: skip
    assert found == code
    assert told in said
    assert len(said.splitlines()) == 1
    assert not given.get("manifest") or (out / "manifest.jsonl").read_text() == "mine"


# --- corpora --------------------------------------------------------------------------------------


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of known corpora, in which lies one of them."""
    root = tmp_path / "shelf"
    monkeypatch.setenv("SPEECHTL_CORPORA", str(root))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    (root / "vctk" / "txt").mkdir(parents=True)
    (root / "vctk" / "speaker-info.txt").write_text("ID  AGE  GENDER  ACCENTS  REGION\n")
    (root / "vctk" / "wav48").mkdir()
    return root


def test_corpora_are_listed_with_whether_they_are_here_and_how_to_have_them(
    run: Run, shelf: Path
) -> None:
    code, told, said = run("corpora")
    assert (code, said) == (0, "")
    lines = told.splitlines()
    assert len(corpora.KNOWN) == 10
    for name, corpus in corpora.KNOWN.items():
        [row] = [line for line in lines if line.startswith(f"{name} ")]
        assert row.split()[-1] == ("yes" if name == "vctk" else "no")
        assert corpus.licence in row
        assert f"{name}: {corpus.title}" in lines
        assert (f"  to have it: {corpus.how_to_get}" in lines) == (name != "vctk")
        assert f"  {corpus.url}" in lines
    assert f"  here: {shelf / 'vctk'}" in lines
    assert lines[-1] == f"Looked for in {shelf}"


def test_corpora_are_listed_as_json(run: Run, shelf: Path, tmp_path: Path) -> None:
    code, told, said = run("corpora", "--json", "-")
    assert (code, said) == (0, "")
    found = {row["name"]: row for row in json.loads(told)}
    assert list(found) == list(corpora.KNOWN)
    assert {name: row["here"] for name, row in found.items() if row["here"]} == {
        "vctk": str(shelf / "vctk")
    }
    code, *_ = run("corpora", "--json", tmp_path / "corpora.json")
    assert code == 0
    assert json.loads((tmp_path / "corpora.json").read_text()) == json.loads(told)
