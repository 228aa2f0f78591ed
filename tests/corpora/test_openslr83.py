"""What the reader of OpenSLR 83 promises."""

from __future__ import annotations

from pathlib import Path

from corpora.conftest import faults, manifest, recording, text
from speechtl import corpora

COMMON = {"licence": "CC-BY-SA-4.0"}


def tree(root: Path) -> Path:
    text(
        root / "scottish_english_female" / "line_index.csv",
        "EN0320, scf_00295_00080702013, He has been seen with the leader, at last.\r\n"
        'EN0413, scf_04310_01561045235, "So, that was ""it""."\r\n',
    )
    recording(root / "scottish_english_female" / "scf_00295_00080702013.wav", rate=48_000)
    recording(root / "scottish_english_female" / "scf_04310_01561045235.wav", rate=48_000)
    text(root / "irish_english_male" / "line_index.csv", "EN0320, irm_02484_00388340027, Aye.\n")
    recording(root / "irish_english_male" / "irm_02484_00388340027.wav", rate=48_000)
    return root


SCOTTISH: list[dict[str, str]] = [
    {
        "id": "scf_00295_00080702013",
        "audio": "scottish_english_female/scf_00295_00080702013.wav",
        "text": "He has been seen with the leader, at last.",
        "speaker": "scf_00295",
        "accent": "scottish",
        "sex": "female",
        **COMMON,
    },
    {
        "id": "scf_04310_01561045235",
        "audio": "scottish_english_female/scf_04310_01561045235.wav",
        "text": 'So, that was "it".',
        "speaker": "scf_04310",
        "accent": "scottish",
        "sex": "female",
        **COMMON,
    },
]
IRISH = {
    "id": "irm_02484_00388340027",
    "audio": "irish_english_male/irm_02484_00388340027.wav",
    "text": "Aye.",
    "speaker": "irm_02484",
    "accent": "irish",
    "sex": "male",
    **COMMON,
}


def test_archives_in_folders_of_their_names_are_read_with_accent_sex_and_speaker(
    tmp_path: Path,
) -> None:
    root = tree(tmp_path)
    reading = corpora.read(f"openslr83:{root}")
    assert reading.faults == ()
    assert reading.corpus == manifest(root, IRISH, *SCOTTISH)
    assert list(reading.places) == [
        "irish_english_male/line_index.csv:1",
        "scottish_english_female/line_index.csv:1",
        "scottish_english_female/line_index.csv:2",
    ]


def test_archives_unpacked_into_one_folder_are_read_by_the_table_of_all(tmp_path: Path) -> None:
    text(
        tmp_path / "line_index_all.csv",
        "EN1, scf_00295_1, One.\nEN1, wem_00123_2, Not here.\nEN2, wem_00123_3, Nor this.\n",
    )
    recording(tmp_path / "scf_00295_1.wav")
    reading = corpora.read(f"openslr83:{tmp_path}")
    assert [(each.id, each.text) for each in reading.corpus] == [("scf_00295_1", "One.")]
    assert reading.faults == ()
    assert reading.notes == ("lines of archives that are not here were left out: welsh 2",)


def test_the_table_of_all_beside_the_archives_repeats_nothing(tmp_path: Path) -> None:
    root = tree(tmp_path)
    before = corpora.read(f"openslr83:{root}")
    lines = [(folder / "line_index.csv").read_text() for folder in root.iterdir()]
    text(root / "line_index_all.csv", "".join(lines))
    after = corpora.read(f"openslr83:{root}")
    assert (after.corpus, after.faults) == (before.corpus, ())


def test_what_is_wrong_is_told_with_its_line(tmp_path: Path) -> None:
    folder = tmp_path / "welsh_english_male"
    folder.mkdir()
    (folder / "line_index.csv").write_bytes(
        b"EN1, wem_00001_1, Fine.\nEN2, wem_00001_2\nEN3, xyz_00001_3, Whose?\n"
        b"EN4, wem_00001_4, Missing.\nEN5, wem_00001_5, caf\xe9\nEN6, wem_00001_6, \n"
    )
    for number in (1, 6, 7):
        recording(folder / f"wem_00001_{number}.wav")
    reading = corpora.read(f"openslr83:{tmp_path}")
    assert [each.id for each in reading.corpus] == ["wem_00001_1"]
    name = "welsh_english_male/line_index.csv"
    assert faults(reading) == [
        ("cell-count", f"{name}:2"),
        ("malformed", f"{name}:3"),
        ("audio-missing", f"{name}:4"),
        ("not-utf8", f"{name}:5"),
        ("text-empty", f"{name}:6"),
        ("audio-unused", "welsh_english_male/wem_00001_7.wav"),
    ]
