"""A source made into a corpus: what stands in the folder, what does not, and what is left alone."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import soundfile

from speechtl import checks, models, preparation, sources
from speechtl.alignment import Alignment, LeftOut
from speechtl.audio import SAMPLE_RATE, Waveform, write
from speechtl.checks import recordings
from speechtl.corpora import starter
from speechtl.corpus import Corpus, Utterance
from speechtl.errors import ConfigError, DataError, OutputError
from speechtl.files import read_jsonl
from speechtl.manifest import read_manifest
from speechtl.preparation import Preparation, Prepared, prepare, write_alignment
from speechtl.report import data_card as pages
from speechtl.sources import Options
from speechtl.splits import SplitPlan
from speechtl.text.spelling import Spelling

# Long names, which stand nowhere by chance.
SPEAKERS = {
    "Morwenna": ("scottish", "female"),
    "Ruaridhan": ("scottish", "male"),
    "Eilidhean": ("scottish", "female"),
    "Torquilson": ("scottish", "male"),
    "Catrionach": ("scottish", "female"),
    "Hamishton": ("scottish", "male"),
    "Gwendolyn": ("lancashire", "female"),
    "Thaddeusz": ("lancashire", "male"),
    "Winifreda": ("lancashire", "female"),
}
TAKES = 3
UTTERANCES = TAKES * len(SPEAKERS)
FOLDER = "fieldwork-1987"

MORE_DEV = SplitPlan(shares=(0.4, 0.4, 0.2))

PAGE = pages.html

T = TypeVar("T")
Rows = list[dict[str, Any]]


def write_talks(folder: Path) -> Path:
    """Write a table of three starter recordings of each speaker, in the order of the takes."""
    trained = starter.load().where(split="train")
    voices = {
        accent: iter(trained.where(accent=accent).by("speaker").values())
        for accent in ("scottish", "lancashire")
    }
    said = {speaker: next(voices[accent]) for speaker, (accent, _) in SPEAKERS.items()}
    rows: Rows = []
    (folder / "clips").mkdir(parents=True)
    for number in range(TAKES):
        for speaker, (accent, sex) in SPEAKERS.items():
            path = folder / "clips" / f"{speaker}-take-{number}.ogg"
            shutil.copy(said[speaker][number].audio, path)
            rows.append(
                {
                    "id": path.stem,
                    "audio": f"clips/{path.name}",
                    "text": said[speaker][number].text,
                    "speaker": speaker,
                    "accent": accent,
                    "licence": "CC0-1.0",
                    "sex": sex,
                }
            )
    write_rows(folder / "talks.jsonl", rows)
    return folder / "talks.jsonl"


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def rows_of(path: Path) -> Rows:
    return [row for _, row in read_jsonl(path)]


def change(table: Path, **by_id: dict[str, Any]) -> None:
    """Change fields of rows of a table, by their ids with `_` for `-`."""
    rows = rows_of(table)
    found = {row["id"].replace("-", "_"): row for row in rows}
    for name, fields in by_id.items():
        found[name].update(fields)
    write_rows(table, rows)


def everything(folder: Path) -> dict[str, bytes]:
    """Return the content of all files of a folder, by their names in it."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="session")
def _talks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_talks(tmp_path_factory.mktemp("talks") / FOLDER)


@pytest.fixture
def talks(_talks: Path, tmp_path: Path) -> Path:
    """Return a table of 27 recordings of nine speakers, which the test may break."""
    return Path(shutil.copytree(_talks.parent, tmp_path / FOLDER)) / _talks.name


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Return a folder that is not there yet."""
    return tmp_path / "prepared"


def made(talks: Path, out: Path, *, overwrite: bool = False, **settings: Any) -> Prepared:
    """Prepare a table."""
    return prepare(sources.read(talks), out, Preparation(**settings), overwrite=overwrite)


@pytest.fixture(autouse=True)
def _plain_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the sounds out of the data card, which take half of the time of a small corpus."""
    monkeypatch.setattr(pages, "html", lambda card: card.to_json())


# --- the manifest ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [{}, {"folds": 3}, {"copy_audio": True}, {"pseudonymise": True, "folds": 2}, {"trim": True}],
    ids=["plain", "folds", "copied", "pseudonyms", "trimmed"],
)
def test_the_manifest_is_what_was_made(talks: Path, out: Path, settings: dict[str, Any]) -> None:
    found = made(talks, out, **settings)
    assert found.files[0] == out / "manifest.jsonl"
    assert all(path.is_file() for path in found.files)
    assert read_manifest(out / "manifest.jsonl") == found.corpus
    assert len(found.corpus) == UTTERANCES
    assert {each.split for each in found.corpus} == {"train", "dev", "test"}
    train, dev, test = (found.corpus.where(split=name) for name in ("train", "dev", "test"))
    train.check_disjoint(dev + test, fields=("speaker",))
    dev.check_disjoint(test, fields=("speaker",))
    by_fold = [
        read_manifest(out / f"manifest.fold-{k + 1}.jsonl") for k in range(settings.get("folds", 0))
    ]
    tested = [name for fold in by_fold for name in fold.where(split="test").speakers]
    assert not by_fold or sorted(tested) == list(found.corpus.speakers)
    assert not (out / ".preparing").exists()


def test_what_is_not_copied_stays_where_it_is_and_as_it_is(talks: Path, out: Path) -> None:
    before = everything(talks.parent)
    found = made(talks, out)
    assert everything(talks.parent) == before
    assert {each.audio.parent for each in found.corpus} == {talks.parent.resolve() / "clips"}
    assert {path.name for path in out.iterdir()} == {
        "manifest.jsonl", "data-card.html", "data-card.md", "data-card.json",
        "faults.jsonl", "dropped.jsonl", "changes.jsonl",
    }  # fmt: skip


def test_the_same_source_and_settings_give_the_same_bytes(talks: Path, tmp_path: Path) -> None:
    for name, workers in (("a", 1), ("b", 3)):
        prepare(sources.read(talks), tmp_path / name, Preparation(), workers=workers)
    made(talks, tmp_path / "c", split=MORE_DEV)
    first, second, third = (everything(tmp_path / name) for name in "abc")
    assert first == second
    assert first["manifest.jsonl"] != third["manifest.jsonl"]


def test_texts_are_spelled_as_asked_and_every_change_is_listed(talks: Path, out: Path) -> None:
    change(
        talks,
        Morwenna_take_0={"text": "It’s 21 degrees,  OK?"},
        Ruaridhan_take_0={"text": "cafe\u0301 society"},
    )
    before = {row["id"]: row["text"] for row in rows_of(talks)}
    spell = Spelling(numbers="words", punctuation="drop", case="upper")
    found = made(talks, out, spelling=spell)
    after = {each.id: each.text for each in found.corpus}
    assert after["Morwenna-take-0"] == "IT'S TWENTY-ONE DEGREES OK"
    assert after["Ruaridhan-take-0"] == "CAFÉ SOCIETY"
    changes = {row["utterance"]: row for row in rows_of(out / "changes.jsonl")}
    assert {name: row["after"] for name, row in changes.items()} == {
        name: text for name, text in after.items() if text != before[name]
    }
    assert all(row["before"] == before[name] for name, row in changes.items())
    assert changes["Morwenna-take-0"]["name"] == "spaces+numbers+punctuation+case"
    assert changes["Ruaridhan-take-0"]["name"] == "composition+case"


def test_a_ctc_model_s_vocabulary_decides_the_spelling(
    talks: Path, out: Path, tiny_models: dict[str, Path]
) -> None:
    change(talks, Morwenna_take_0={"text": "it's cold, isn't it?"})
    model = models.load(str(tiny_models["ctc"]))
    found = prepare(sources.read(talks), out, Preparation(), model=model)
    texts = {each.id: each.text for each in found.corpus}
    assert texts["Morwenna-take-0"] == "IT'S COLD ISN'T IT"
    assert {row["name"] for row in rows_of(out / "changes.jsonl")} == {"vocabulary"}


def test_what_cannot_be_used_is_listed_with_place_and_reason_and_not_in_the_manifest(
    talks: Path, out: Path
) -> None:
    clips = talks.parent / "clips"
    write(clips / "silent.wav", np.zeros(16_000, dtype=np.float32))
    (clips / "torn.wav").write_bytes(b"RIFF")
    change(
        talks,
        Morwenna_take_0={"text": " "},  # line 1; each speaker has a line of the first nine
        Ruaridhan_take_0={"audio": "clips/gone.wav"},
        Eilidhean_take_0={"audio": "clips/silent.wav"},
        Torquilson_take_0={"audio": "clips/torn.wav"},
        Catrionach_take_0={"text": "?!"},
        Hamishton_take_0={"start": 0.5, "end": 900.0},
    )
    found = made(talks, out)
    dropped = {
        (row["utterance"], row["kind"], row["place"]) for row in rows_of(out / "dropped.jsonl")
    }
    assert dropped == {
        ("Morwenna-take-0", "text-empty", "talks.jsonl:1"),
        ("Ruaridhan-take-0", "audio-missing", "talks.jsonl:2"),
        ("Eilidhean-take-0", "audio-silent", "talks.jsonl:3"),
        ("Torquilson-take-0", "audio-unreadable", "talks.jsonl:4"),
        ("Catrionach-take-0", "text-no-words", "talks.jsonl:5"),
        ("Hamishton-take-0", "audio-times", "talks.jsonl:6"),
    }
    assert all(row["message"] for row in rows_of(out / "dropped.jsonl"))
    gone = {name for name, _, _ in dropped}
    assert {row["id"] for row in rows_of(out / "manifest.jsonl")} == {
        row["id"] for row in rows_of(talks)
    } - gone
    assert (found.card.left_out, found.card.errors) == (6, 0)
    faults = {(row["utterance"], row["kind"]) for row in rows_of(out / "faults.jsonl")}
    assert {(name, kind) for name, kind, _ in dropped} <= faults
    assert len(rows_of(out / "faults.jsonl")) == len(found.findings.faults)


def test_what_no_split_has_a_place_for_is_listed_with_its_place(talks: Path, out: Path) -> None:
    rows = rows_of(talks)
    for number, row in enumerate(rows):  # all speakers read the same three sentences
        row["text"] = ("the cat sat", "rain fell", "a dog ran")[number // len(SPEAKERS)]
    write_rows(talks, rows)
    found = made(talks, out, split=SplitPlan(disjoint=("speaker", "prompt")))
    dropped = {row["utterance"]: row for row in rows_of(out / "dropped.jsonl")}
    kept = {row["id"] for row in rows_of(out / "manifest.jsonl")}
    assert {row["id"] for row in rows} == kept | set(dropped)
    assert not kept & set(dropped)
    for line, row in enumerate(rows, start=1):
        if row["id"] in dropped:
            assert dropped[row["id"]]["place"] == f"talks.jsonl:{line}"
            assert dropped[row["id"]]["kind"] == "split"
            assert "its sentence belongs to another split" in dropped[row["id"]]["message"]
    assert found.card.left_out == len(dropped) > 0


def test_a_change_of_what_is_left_out_is_none(talks: Path, out: Path) -> None:
    change(talks, Morwenna_take_0={"text": "OH  NO", "start": 0.5, "end": 900.0})
    made(talks, out)
    assert rows_of(out / "changes.jsonl") == []
    assert [row["utterance"] for row in rows_of(out / "dropped.jsonl")] == ["Morwenna-take-0"]


def test_nothing_usable_is_an_error_that_lists_it_and_leaves_no_folder(
    talks: Path, out: Path
) -> None:
    rows = rows_of(talks)
    write_rows(talks, (row | {"text": ""} for row in rows))
    with pytest.raises(DataError, match="no utterance can be used") as told:
        made(talks, out)
    assert len(told.value.faults) == UTTERANCES
    assert not out.exists()


# --- what is set and chosen -----------------------------------------------------------------------


def test_values_are_set_for_all_or_for_those_that_have_another(talks: Path, out: Path) -> None:
    names = {
        ("licence", None): "CC-BY-4.0",
        ("accent", "lancashire"): "northern",
        ("accent", None): "scots",  # what is named goes before what is for all
        ("speaker", "Morwenna"): "Mo",
    }
    found = made(talks, out, relabelled=names)
    assert {each.licence for each in found.corpus} == {"CC-BY-4.0"}
    by_speaker = {each.speaker: each.accent for each in found.corpus}
    assert by_speaker.pop("Mo") == "scots"
    assert by_speaker == {
        name: "scots" if accent == "scottish" else "northern"
        for name, (accent, _) in SPEAKERS.items()
        if name != "Morwenna"
    }
    assert f"set: licence is 'CC-BY-4.0' in {UTTERANCES} utterances" in found.notes
    assert "set: accent is 'northern' in 9 utterances that have 'lancashire'" in found.notes
    assert "set: speaker is 'Mo' in 3 utterances that have 'Morwenna'" in found.notes


def test_accents_that_are_not_kept_are_counted(talks: Path, out: Path) -> None:
    found = made(
        talks, out, relabelled={("accent", "lancashire"): "northern"}, accents=("northern",)
    )
    assert found.corpus.speakers == ("Gwendolyn", "Thaddeusz", "Winifreda")
    assert "accents: 18 utterances of others were passed over" in found.notes


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"accents": ("scotish",)},
            r"no utterance of the accent 'scotish'; it has scottish \(18\), lancashire \(9\)",
        ),
        (
            {"relabelled": {("speaker", "Nobody"): "x"}},
            "no utterance has the speaker 'Nobody'; .* has Catrionach, Eilidhean",
        ),
        ({"relabelled": {("split", "dev"): "test"}}, "no utterance has the split 'dev'; .* none"),
    ],
)
def test_a_value_that_the_source_lacks_is_refused(
    talks: Path, out: Path, settings: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        made(talks, out, **settings)
    assert not out.exists()


def too_long(count: float) -> SplitPlan:
    return SplitPlan(minutes=(count, None, None))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"folds": 10}, "10 folds cannot be made of 9 speakers"),
        ({"folds": 3, "split": too_long(1)}, "they take no minutes"),
        ({"split": SplitPlan(speakers={"test": ("Nobody",)})}, "Nobody"),
        ({"split": too_long(9)}, "there are 1.2"),
        (
            {"accents": ("lancashire",), "relabelled": {("speaker", "Thaddeusz"): "Gwendolyn"}},
            "2 speakers",
        ),
    ],
)
def test_what_cannot_be_split_is_told_before_anything_is_listened_to(
    talks: Path,
    out: Path,
    settings: dict[str, Any],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checks, "inspect", lambda *_, **__: pytest.fail("it listened"))
    with pytest.raises((ConfigError, DataError), match=told):
        made(talks, out, **settings)
    assert not out.exists()


def test_minutes_are_those_of_the_speech(talks: Path, out: Path) -> None:
    # 27 utterances of a second each would be too few for what 27 longer ones have.
    corpus = read_manifest(talks)
    assert UTTERANCES / 60 < 0.5
    assert corpus.duration / 60 > 0.9
    found = made(talks, out, split=SplitPlan(minutes=(0.4, 0.2, 0.3)))
    assert sum(each.duration for each in found.corpus.where(split="train")) <= 24
    assert {row["message"] for row in rows_of(out / "dropped.jsonl")} == {
        "train has the minutes that were asked for"
    }


# --- times and copies -----------------------------------------------------------------------------


def spoken(utterance: Utterance) -> Waveform:
    """Return its waveform from the first to the last 10 ms that are within 35 dB of the top."""
    waveform = utterance.waveform()
    hops = waveform[: len(waveform) // 160 * 160].reshape(-1, 160)
    level = 10 * np.log10(np.square(hops, dtype=np.float64).mean(axis=1) + 1e-12)
    loud = np.flatnonzero(level > level.max() - 35)
    return waveform[loud[0] * 160 : (loud[-1] + 1) * 160]


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("hiss", [0.0, 2e-4])
def test_silence_at_the_ends_is_cut_to_0_15_s(
    talks: Path, out: Path, hiss: float, copied: bool
) -> None:
    corpus = read_manifest(talks)
    rng = np.random.default_rng(0)
    rows, lengths = rows_of(talks), {}
    for number, (row, each) in enumerate(zip(rows, corpus, strict=True)):
        speech, pause = spoken(each), 1.0 if number % 3 else 0.3
        ends = [np.zeros(round(pause * SAMPLE_RATE), np.float32)] * 2
        # Every second one lies in a longer recording.
        room = 2 * SAMPLE_RATE if number % 2 else 0
        around = [np.zeros(room, np.float32)] * 2
        whole = np.concatenate([around[0], ends[0], speech, ends[1], around[1]])
        whole += (hiss * rng.standard_normal(len(whole))).astype(np.float32)
        write(talks.parent / "clips" / f"padded-{number}.wav", whole)
        row["audio"] = f"clips/padded-{number}.wav"
        lengths[row["id"]] = pause, len(speech) / SAMPLE_RATE, room / SAMPLE_RATE
        if room:
            row |= {"start": 2.0, "end": (len(whole) - room) / SAMPLE_RATE}
    write_rows(talks, rows)
    found = made(talks, out, trim=True, copy_audio=copied)
    changes = {row["utterance"] for row in rows_of(out / "changes.jsonl")}
    assert changes == {name for name, (pause, _, _) in lengths.items() if pause == 1.0}
    for each in found.corpus:
        pause, speech_s, room_s = lengths[each.id]
        stays = 0.15 if pause == 1.0 else pause
        first, last = room_s + pause - stays, room_s + pause + speech_s + stays
        if pause == 1.0 and not copied:
            assert each.start == pytest.approx(first, abs=0.031)
            assert each.end == pytest.approx(last, abs=0.031)
        assert len(each.waveform()) / SAMPLE_RATE == pytest.approx(last - first, abs=0.062)
    assert found.card.minutes == pytest.approx(found.corpus.duration / 60, abs=1e-3)


def test_copies_are_16_khz_flac_of_the_same_samples_and_can_be_moved(
    talks: Path, out: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    soundfile.write(
        talks.parent / "clips" / "stereo.wav", 0.1 * rng.standard_normal((44_100, 2)), 44_100
    )
    change(
        talks,
        Morwenna_take_0={"audio": "clips/stereo.wav"},
        Morwenna_take_1={"start": 0.25, "end": 1.0},
    )
    before = {each.id: each.waveform() for each in read_manifest(talks)}
    found = made(talks, out, copy_audio=True)
    assert all(row["audio"].startswith("audio/") for row in rows_of(out / "manifest.jsonl"))
    assert {each.audio.parent for each in found.corpus} == {out.resolve() / "audio"}
    shutil.move(out, tmp_path / "elsewhere")
    shutil.rmtree(talks.parent)
    moved = read_manifest(tmp_path / "elsewhere" / "manifest.jsonl")
    assert len(moved) == UTTERANCES
    for each in moved:
        about = soundfile.info(each.audio)
        assert (about.format, about.samplerate, about.channels) == ("FLAC", 16_000, 1)
        assert (each.start, each.end) == (None, None)
        np.testing.assert_allclose(each.waveform(), before[each.id], atol=1 / 32768, rtol=0)


def test_only_what_a_manifest_names_is_copied(talks: Path, out: Path) -> None:
    found = made(talks, out, copy_audio=True, split=SplitPlan(minutes=(0.3, None, None)))
    assert len(found.corpus) < UTTERANCES
    assert set((out / "audio").iterdir()) == {each.audio for each in found.corpus}


def test_each_copy_has_a_file_of_its_own_whatever_the_ids(talks: Path, out: Path) -> None:
    rows = rows_of(talks)
    names = [
        "a b",
        "a-b",
        "a-b-2",
        "A-B",
        "x/../y",
        "x:y",
        ".hidden",
        "???",
        "語" * 300,
        "語" * 299,
    ]
    for row, name in zip(rows, names, strict=False):
        row["id"] = name
    write_rows(talks, rows)
    before = {each.id: each.waveform() for each in read_manifest(talks)}
    found = made(talks, out, copy_audio=True)
    assert len({each.audio.name.casefold() for each in found.corpus}) == UTTERANCES
    assert {each.audio.parent for each in found.corpus} == {out.resolve() / "audio"}
    for each in found.corpus:
        np.testing.assert_allclose(each.waveform(), before[each.id], atol=1 / 32768, rtol=0)


# --- pseudonyms -----------------------------------------------------------------------------------


def key_of(out: Path) -> dict[str, dict[str, str]]:
    with (out / "private" / "pseudonyms.csv").open(newline="", encoding="utf-8") as stream:
        return {row["pseudonym_id"]: row for row in csv.DictReader(stream)}


@pytest.mark.parametrize("overwritten", [False, True])
def test_no_name_id_or_path_is_outside_of_the_folder_private(
    talks: Path, out: Path, overwritten: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "html", PAGE)
    tagged = talks.parent / "clips" / "Morwenna-take-0.flac"
    with soundfile.SoundFile(tagged, "w", 16_000, 1, format="FLAC") as stream:
        stream.title, stream.artist = "Morwenna-take-0", "Morwenna"
        stream.write(read_manifest(talks)[0].waveform())
    assert b"Morwenna" in tagged.read_bytes()
    change(
        talks,
        Morwenna_take_0={"audio": "clips/Morwenna-take-0.flac"},
        Ruaridhan_take_0={"text": "21"},
        Eilidhean_take_0={"text": ""},
        Torquilson_take_0={"text": "TWO  SPACES"},
    )
    if overwritten:
        made(talks, out, copy_audio=True, folds=4)
    store = out.parent / "store.jsonl"
    settings = Preparation(
        pseudonymise=True, folds=2, relabelled={("speaker", "Hamishton"): "Hamlet"}
    )
    prepare(sources.read(talks), out, settings, store=store, overwrite=overwritten)
    names = {*SPEAKERS, "Hamlet", FOLDER, "take-", "talks.jsonl", str(talks.parent)}
    told = everything(out)
    assert any(name.startswith("private/") for name in told)
    for name, content in told.items():
        if not name.startswith("private/"):
            inside = {each for each in names if each.lower().encode() in content.lower()}
            assert (name, inside) == (name, set())
            assert not any(each.lower() in name.lower() for each in names)
    assert {path.name for path in out.iterdir()} == {
        "audio", "private", "manifest.jsonl", "manifest.fold-1.jsonl", "manifest.fold-2.jsonl",
        "data-card.html", "data-card.md", "data-card.json",
    }  # fmt: skip


def test_the_key_is_whole_right_and_for_its_owner_alone(talks: Path, out: Path) -> None:
    found = made(talks, out, pseudonymise=True)
    before = {each.id: each for each in read_manifest(talks)}
    key = key_of(out)
    assert set(key) == {each.id for each in found.corpus}
    for each in found.corpus:
        row = key[each.id]
        assert row["pseudonym_speaker"] == each.speaker
        assert row["speaker"] == before[row["id"]].speaker
        assert each.text == before[row["id"]].text
        np.testing.assert_allclose(
            each.waveform(), before[row["id"]].waveform(), atol=1 / 32768, rtol=0
        )
    assert (out / "private" / "pseudonyms.csv").stat().st_mode & 0o777 == 0o600
    assert (out / "private").stat().st_mode & 0o777 == 0o700
    assert {path.name for path in (out / "private").iterdir()} == {
        "pseudonyms.csv", "faults.jsonl", "dropped.jsonl", "changes.jsonl",
    }  # fmt: skip
    assert all(speaker.startswith("speaker-") for speaker in found.corpus.speakers)


def test_neither_numbers_nor_rows_tell_the_order_of_the_names(talks: Path, tmp_path: Path) -> None:
    drawn = []
    for number in range(3):
        out = tmp_path / str(number)
        found = made(talks, out, pseudonymise=True)
        ids = [each.id for each in found.corpus]
        assert ids == sorted(ids)  # not as the source has them
        names = {row["pseudonym_speaker"]: row["speaker"] for row in key_of(out).values()}
        drawn.append([names[each] for each in sorted(names)])
    # Of nine names, three draws in one order, or all by name, are one in 10^11.
    assert len({tuple(order) for order in drawn}) > 1
    assert any(order != sorted(order) for order in drawn)


def test_pseudonyms_change_no_split(talks: Path, tmp_path: Path) -> None:
    plain = made(talks, tmp_path / "plain")
    hidden = made(talks, tmp_path / "hidden", pseudonymise=True)
    key = key_of(tmp_path / "hidden")
    assert {key[each.id]["id"]: each.split for each in hidden.corpus} == {
        each.id: each.split for each in plain.corpus
    }


def test_names_that_are_said_are_told(talks: Path, out: Path) -> None:
    change(talks, Ruaridhan_take_0={"text": "good morning, Morwenna!"})
    found = made(talks, out, pseudonymise=True)
    assert any("names of 1 speakers are words of transcripts" in note for note in found.notes)


# --- the folder -----------------------------------------------------------------------------------


def test_a_folder_with_something_else_in_it_is_refused(talks: Path, out: Path) -> None:
    out.mkdir()
    (out / "thesis.txt").write_text("all of it")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match=r"is not empty \(thesis.txt\) and no corpus was"):
            made(talks, out, overwrite=overwrite)
    assert everything(out) == {"thesis.txt": b"all of it"}


def test_a_folder_of_recordings_is_refused_though_it_is_called_as_that_of_copies(
    talks: Path, out: Path
) -> None:
    write(out / "audio" / "Morwenna-take-0.flac", np.zeros(100, np.float32))
    before = everything(out)
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="is not empty"):
            made(talks, out, copy_audio=True, overwrite=overwrite)
    assert everything(out) == before


def test_an_earlier_corpus_is_refused_unless_it_is_to_be_replaced(talks: Path, out: Path) -> None:
    made(talks, out)
    before = everything(out)
    with pytest.raises(OutputError, match=r"prepared there already; .* give --overwrite"):
        made(talks, out, split=MORE_DEV)
    assert everything(out) == before
    made(talks, out, split=MORE_DEV, overwrite=True)
    assert everything(out).keys() == before.keys()
    assert everything(out)["manifest.jsonl"] != before["manifest.jsonl"]


def test_nothing_of_an_earlier_prepare_is_left_and_all_that_is_a_person_s(
    talks: Path, out: Path, tmp_path: Path
) -> None:
    made(talks, out, pseudonymise=True, folds=4)
    (out / "notes.txt").write_text("mine")
    (out / "private" / "letter.txt").write_text("mine too")
    (out / "manifest.fold-final.jsonl").write_text("{}")
    made(talks, out, folds=2, overwrite=True)
    made(talks, tmp_path / "fresh", folds=2)
    mine = {"notes.txt", "private/letter.txt", "manifest.fold-final.jsonl"}
    assert everything(out).keys() == everything(tmp_path / "fresh").keys() | mine
    assert not (out / "audio").exists()
    assert (out / "private" / "letter.txt").read_text() == "mine too"


def test_copies_are_replaced_by_fewer(talks: Path, out: Path) -> None:
    made(talks, out, copy_audio=True)
    found = made(talks, out, copy_audio=True, accents=("lancashire",), overwrite=True)
    assert len(found.corpus) == 9
    assert set((out / "audio").iterdir()) == {each.audio for each in found.corpus}


@pytest.mark.parametrize("name", ["mine.wav", "mine.flac", "below/Morwenna-take-0.flac"])
def test_a_recording_that_no_manifest_names_is_never_touched(
    talks: Path, out: Path, name: str
) -> None:
    made(talks, out, copy_audio=True)
    write(out / "audio" / name, np.zeros(100, np.float32))
    before = everything(out)
    with pytest.raises(OutputError, match=f"not prepared there, such as .*{name}; move"):
        made(talks, out, copy_audio=True, overwrite=True)
    assert everything(out) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_corpus_is_not_replaced_by_what_is_made_of_it(
    talks: Path, out: Path, tmp_path: Path, overwrite: bool
) -> None:
    made(talks, out, copy_audio=True)
    before = everything(out)
    elsewhere = tmp_path / "table.jsonl"
    corpus = read_manifest(out / "manifest.jsonl")
    write_rows(
        elsewhere,
        (
            {**row, "audio": str(each.audio)}
            for row, each in zip(rows_of(out / "manifest.jsonl"), corpus, strict=True)
        ),
    )
    for source in (out / "manifest.jsonl", elsewhere):
        with pytest.raises(OutputError, match="made of what is in it" if overwrite else "already"):
            made(source, out, pseudonymise=True, overwrite=overwrite)
    assert everything(out) == before
    made(out / "manifest.jsonl", tmp_path / "other", pseudonymise=True)


class Stopped(KeyboardInterrupt):
    pass


def stopping(what: str, *, after: int) -> Any:
    """Return a `Track` that stops, as Ctrl-C does, after some items of what it shows."""

    def track(items: Iterable[T], description: str, *, total: int) -> Iterator[T]:
        for number, item in enumerate(items):
            if description.startswith(what) and number == after:
                raise Stopped
            yield item

    return track


@pytest.mark.parametrize(
    ("what", "before"),
    [
        ("listening", False),
        ("copying", False),
        ("copying", True),
        ("card", True),
        ("manifest", True),
    ],
)
def test_a_prepare_that_is_stopped_changes_nothing(
    talks: Path, out: Path, what: str, before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if before:
        made(talks, out, copy_audio=True, folds=2)
    content = everything(out)

    def stop(*_: object) -> None:
        raise Stopped

    settings, track = Preparation(pseudonymise=True), stopping(what, after=2)
    with monkeypatch.context() as patch:
        if what == "card":
            patch.setattr(pages, "markdown", stop)
        if what == "manifest":
            patch.setattr(preparation, "write_manifest", stop)
        with pytest.raises(Stopped):
            prepare(sources.read(talks), out, settings, overwrite=before, track=track)
    assert everything(out) == content
    assert out.exists() == before
    made(talks, out, overwrite=before)
    assert read_manifest(out / "manifest.jsonl")


@pytest.mark.parametrize(
    ("name", "before"),
    [("audio", False), ("audio", True), ("data-card.md", True), ("manifest.fold-1.jsonl", False)],
)
def test_where_there_is_a_manifest_all_is_there(
    talks: Path, out: Path, name: str, before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process may be killed while what is whole takes its place, too."""
    if before:
        made(talks, out, copy_audio=True, folds=4)
    replace_file = Path.replace

    def killed(self: Path, target: Path) -> Path:
        if target.is_relative_to(out / name):
            raise Stopped
        return replace_file(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(Stopped):
            made(talks, out, copy_audio=True, folds=2, overwrite=before)
    assert not (out / "manifest.jsonl").exists()
    found = made(talks, out, copy_audio=True)  # which needs no leave to go on
    assert read_manifest(out / "manifest.jsonl") == found.corpus
    assert {path.name for path in out.iterdir()} == {
        "audio", "manifest.jsonl", "data-card.html", "data-card.md", "data-card.json",
        "faults.jsonl", "dropped.jsonl", "changes.jsonl",
    }  # fmt: skip
    assert len(list((out / "audio").iterdir())) == UTTERANCES


def test_a_full_disk_is_told_and_changes_nothing(
    talks: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(talks, out)
    content = everything(out)

    def full(*_: object) -> None:
        raise OutputError("no space left")

    monkeypatch.setattr(preparation, "write_jsonl", full)
    with pytest.raises(OutputError, match="no space left"):
        made(talks, out, overwrite=True)
    assert everything(out) == content


def test_what_was_listened_to_is_not_listened_to_again(
    talks: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = []
    measure = recordings._stretch_facts

    def counted(*given: Any) -> Any:
        heard.append(given)
        return measure(*given)

    monkeypatch.setattr(recordings, "_stretch_facts", counted)
    monkeypatch.setattr(recordings, "_TOGETHER", 2)
    store = tmp_path / "store.jsonl"
    reading = sources.read(talks)
    with pytest.raises(Stopped):
        prepare(
            reading,
            out,
            Preparation(),
            store=store,
            workers=1,
            track=stopping("listening", after=9),
        )
    kept = len(store.read_text().splitlines())
    assert 9 <= kept < UTTERANCES
    heard.clear()
    prepare(reading, out, Preparation(), store=store, workers=1)
    assert len(heard) == UTTERANCES - kept
    heard.clear()
    prepare(reading, out, Preparation(copy_audio=True), store=store, overwrite=True)
    assert heard == []


# --- sources of other kinds -----------------------------------------------------------------------


def as_kaldi(talks: Path) -> Path:
    """Write the table as a Kaldi folder, and return it."""
    rows = rows_of(talks)
    folder = talks.parent / "data" / "train"
    folder.mkdir(parents=True)
    columns: dict[str, Callable[[dict[str, Any]], str]] = {
        "wav.scp": lambda row: str(talks.parent / row["audio"]),
        "text": lambda row: row["text"],
        "utt2spk": lambda row: row["speaker"],
        "utt2accent": lambda row: row["accent"],
    }
    for name, value in columns.items():
        (folder / name).write_text("".join(f"{row['id']} {value(row)}\n" for row in rows))
    sexes = {row["speaker"]: row["sex"][0] for row in rows}
    (folder / "spk2gender").write_text("".join(f"{name} {sex}\n" for name, sex in sexes.items()))
    return folder


def as_common_voice(talks: Path) -> Path:
    """Write the table as a folder of Common Voice, and return it."""
    genders = {"male": "male_masculine", "female": "female_feminine"}
    lines = ["client_id\tpath\tsentence\taccents\tgender"]
    lines += (
        f"{row['speaker']}\t{Path(row['audio']).name}\t{row['text']}\t{row['accent']}\t"
        f"{genders[row['sex']]}"
        for row in rows_of(talks)
    )
    (talks.parent / "validated.tsv").write_text("\n".join(lines) + "\n")
    return talks.parent


def as_csv(talks: Path) -> Path:
    rows = rows_of(talks)
    path = talks.with_suffix(".csv")
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, rows[0])
        table.writeheader()
        table.writerows(rows)
    return path


@pytest.mark.parametrize("write_as", [as_kaldi, as_common_voice, as_csv])
def test_a_source_of_any_kind_gives_the_same_manifest(
    talks: Path, tmp_path: Path, write_as: Callable[[Path], Path]
) -> None:
    made(talks, tmp_path / "table")
    reading = sources.read(write_as(talks), None, Options(licence="CC0-1.0"))
    prepare(reading, tmp_path / "other", Preparation())
    first, second = (tmp_path / name / "manifest.jsonl" for name in ("table", "other"))
    assert first.read_bytes() == second.read_bytes()


def test_splits_of_the_source_are_kept_unless_they_are_to_be_made_anew(
    talks: Path, tmp_path: Path
) -> None:
    rows = rows_of(talks)
    given = dict(zip(SPEAKERS, ("test", "dev", "train") * 3, strict=True))
    write_rows(talks, (row | {"split": given[row["speaker"]]} for row in rows))
    kept = made(talks, tmp_path / "kept")
    assert {each.speaker: each.split for each in kept.corpus} == given
    anew = made(talks, tmp_path / "anew", split=SplitPlan(resplit=True))
    assert {each.speaker: each.split for each in anew.corpus} != given


def test_an_error_of_the_splits_stays_and_is_told(talks: Path, out: Path) -> None:
    rows = rows_of(talks)
    for number, row in enumerate(rows):  # each speaker is in all three
        row["split"] = ("train", "dev", "test")[number // len(SPEAKERS)]
    write_rows(talks, rows)
    found = made(talks, out)
    assert found.card.errors == 3 * len(SPEAKERS)
    assert len(found.corpus) == UTTERANCES


# --- long recordings ------------------------------------------------------------------------------


def test_an_alignment_without_an_utterance_has_lists_and_no_manifest(out: Path) -> None:
    aligned = Alignment(
        utterances=(),
        left_out=(LeftOut(text="never said", score=0.1),),
        unwritten=(),
        wildcards=(),
        largest_trellis=0,
    )
    for _ in range(2):  # nothing keeps one from trying again
        files = write_alignment(Corpus(), aligned, out)
    assert [path.name for path in files] == ["alignment.jsonl", "left-out.jsonl", "unwritten.jsonl"]
    assert rows_of(out / "left-out.jsonl")[0]["text"] == "never said"
    assert not (out / "manifest.jsonl").exists()


def test_a_folder_with_a_manifest_is_refused_for_an_alignment(out: Path) -> None:
    out.mkdir()
    preparation.require_no_manifest(out)
    (out / "manifest.jsonl").write_text("")
    with pytest.raises(OutputError, match="is there already; name another folder"):
        preparation.require_no_manifest(out)
