"""NIST's files: their text as it must be, and NIST's own programs, which count it as we do."""

from __future__ import annotations

import dataclasses
import random
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.conftest import noise

from speechtl.audio import write as write_wav
from speechtl.errors import ConfigError, DataError, OutputError
from speechtl.metrics import ErrorCounts, total, word_errors
from speechtl.nist import escape, write_stm, write_trn
from speechtl.scoring import SETS, SYSTEMS, Hypotheses, Hypothesis, score
from speechtl.text import normaliser as normaliser_named

needs_sctk = pytest.mark.skipif(shutil.which("sctk") is None, reason="sctk is not installed")


def row(id_: str, speaker: str, reference: str, hypothesis: str, **fields: float) -> Hypothesis:
    return Hypothesis(
        id=id_,
        audio=f"/speech/{id_}.wav",
        speaker=speaker,
        accent="scottish",
        reference=reference,
        hypothesis=hypothesis,
        **fields,  # type: ignore[arg-type]
    )


def systems(*rows: tuple[Hypothesis, str], name: str = "target") -> Hypotheses:
    """Return hypotheses from the base's rows, each with what the adapted model heard."""
    return {
        "base": {name: [base for base, _ in rows]},
        "adapted": {name: [dataclasses.replace(base, hypothesis=text) for base, text in rows]},
    }


FEW = systems(
    (row("u_1", "Ailsa", "The wee cat.", "the we", start=1.5, end=3.0, duration=1.5), "wee Cat"),
    (row("u_2", "Mac-Iain", "Och {aye}; (no)", "", duration=2.0), "och @ %"),
    (row("u 3", "Ailsa", "", "it's", start=1.0, duration=0.5), ""),
)


# --- the files ------------------------------------------------------------------------------------


def test_trn_files_hold_the_scored_words_and_the_speaker_before_the_first_hyphen(
    tmp_path: Path,
) -> None:
    paths = write_trn(FEW, tmp_path / "new" / "nist", normaliser="none")
    assert [path.relative_to(tmp_path / "new" / "nist").name for path in paths] == [
        "target.ref.trn",
        "target.base.trn",
        "target.adapted.trn",
    ]
    reference, base, adapted = (path.read_bytes().decode() for path in paths)
    assert reference == (
        "The wee cat. (Ailsa-u_1)\n"
        "Och %7Baye%7D%3B %28no%29 (Mac%2DIain-u_2)\n"
        " (Ailsa-u%203)\n"
    )  # fmt: skip
    assert base == "the we (Ailsa-u_1)\n (Mac%2DIain-u_2)\nit's (Ailsa-u%203)\n"
    assert adapted == "wee Cat (Ailsa-u_1)\noch %40 %25 (Mac%2DIain-u_2)\n (Ailsa-u%203)\n"


def test_trn_files_hold_the_words_as_the_normaliser_has_them(tmp_path: Path) -> None:
    reference, _, adapted = write_trn(FEW, tmp_path, normaliser="plain")
    assert reference.read_text(encoding="utf-8").splitlines()[:2] == [
        "the wee cat (Ailsa-u_1)",
        "och aye no (Mac%2DIain-u_2)",
    ]
    assert adapted.read_text(encoding="utf-8").startswith("wee cat (Ailsa-u_1)\noch (Mac")


def test_stm_and_ctm_files_hold_each_utterance_as_a_file_of_its_own_by_id(tmp_path: Path) -> None:
    paths = write_stm(FEW, tmp_path, normaliser="none")
    assert [path.name for path in paths] == ["target.stm", "target.base.ctm", "target.adapted.ctm"]
    segments, base, adapted = (path.read_text(encoding="utf-8") for path in paths)
    assert segments == (
        "u%203 A Ailsa 1.000 1.500\n"
        "u_1 A Ailsa 1.500 3.000 The wee cat.\n"
        "u_2 A Mac%2DIain 0.000 2.000 Och %7Baye%7D%3B %28no%29\n"
    )
    assert base == (
        "u%203 A 1.000 0.500 it's\n"
        "u_1 A 1.500 0.750 the\n"
        "u_1 A 2.250 0.750 we\n"
    )  # fmt: skip
    assert adapted == (
        "u_1 A 1.500 0.750 wee\n"
        "u_1 A 2.250 0.750 Cat\n"
        "u_2 A 0.000 0.667 och\n"
        "u_2 A 0.667 0.667 %40\n"
        "u_2 A 1.333 0.667 %25\n"
    )


def test_a_length_that_no_row_tells_is_the_recordings(tmp_path: Path) -> None:
    recording = tmp_path / "u1.wav"
    write_wav(recording, noise(1.25, seed=0))
    whole = dataclasses.replace(row("u1", "ailsa", "aye", "aye"), audio=str(recording))
    segments, *_ = write_stm(systems((whole, "")), tmp_path, normaliser="plain")
    assert segments.read_text(encoding="utf-8") == "u1 A ailsa 0.000 1.250 aye\n"


def test_all_utterances_without_a_known_length_are_named_at_once(tmp_path: Path) -> None:
    gone = row("u1", "ailsa", "aye", "aye")
    made = dataclasses.replace(row("u2", "ailsa", "aye", "aye"), audio="")
    with pytest.raises(DataError, match=r"write \.trn files, which need no times") as caught:
        write_stm(systems((gone, ""), (made, "")), tmp_path / "nist", normaliser="plain")
    first, second = caught.value.faults
    assert first.startswith("utterance 'u1': /speech/u1.wav")
    assert second == "utterance 'u2': no recording"
    assert not (tmp_path / "nist").exists()


def test_every_set_with_something_said_has_its_files(tmp_path: Path) -> None:
    one = {name: [row("u1", "ailsa", "aye", "aye", duration=1)] for name in (*SETS, "silence")}
    every: Hypotheses = {"base": {**one, "empty": []}, "adapted": {**one, "empty": []}}
    for write, kinds in (
        (write_trn, ("ref.trn", "base.trn", "adapted.trn")),
        (write_stm, ("stm", "base.ctm", "adapted.ctm")),
    ):
        paths = write(every, tmp_path / kinds[0], normaliser="plain")
        assert [path.name for path in paths] == [f"{s}.{kind}" for s in SETS for kind in kinds]
        assert sorted((tmp_path / kinds[0]).iterdir()) == sorted(paths)


def test_what_cannot_be_compared_or_written_is_refused(tmp_path: Path) -> None:
    apart: Hypotheses = {"base": FEW["base"], "adapted": {"target": FEW["adapted"]["target"][:2]}}
    (tmp_path / "file").touch()
    for write in (write_trn, write_stm):
        with pytest.raises(DataError, match="utterance 'u 3': in base alone"):
            write(apart, tmp_path, normaliser="plain")
        with pytest.raises(ConfigError, match="unknown normaliser"):
            write(FEW, tmp_path, normaliser="shakespeare")
        with pytest.raises(OutputError, match="cannot be written"):
            write(FEW, tmp_path / "file" / "below", normaliser="plain")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# --- the escaping ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("it's", "it's"),
        ("Gàidhlig", "Gàidhlig"),
        ("well-known", "well-known"),
        ("wo-", "wo%2D"),
        ("--", "%2D%2D"),
        ("{um/uh}", "%7Bum/uh%7D"),
        ("%hesitation", "%25hesitation"),
        (";;", "%3B%3B"),
        ("<b_aside>", "%3Cb_aside>"),
        ('a\\"b"*', "a%5C%22b%22%2A"),
        ("Ignore_Time_Segment_In_Scoring", "%49gnore_Time_Segment_In_Scoring"),
        ("a\u200bb\0", "a%E2%80%8Bb%00"),
        ("\ud800", "%ED%A0%80"),
    ],
)
def test_what_means_something_to_sclite_is_percent_encoded(word: str, shown: str) -> None:
    assert escape(word) == shown


def test_a_word_too_long_for_sclite_is_its_beginning_and_a_digest() -> None:
    assert escape("é" * 48) == "é" * 48
    long = escape("é" * 49)
    assert re.fullmatch(r"é{31}%~[0-9a-f]{32}", long)
    assert long == escape("é" * 49) != escape("é" * 50)
    assert long != escape("é" * 48 + "É")


anything = st.text(st.characters(), max_size=8)  # surrogates too; few enough to be kept whole
tricky = st.text(st.sampled_from("aA%~2Dd-;@{}<*\\\"' ()_é"), max_size=6)


@given(anything | tricky)
def test_an_escaped_word_gives_back_the_word_and_holds_nothing_that_sclite_reads(text: str) -> None:
    for word in text.split():
        shown = escape(word)
        assert unquote(shown, errors="surrogatepass") == word
        assert re.fullmatch(r'[^\s"()*;<@\\{}\x00-\x1f]+', shown)
        assert not shown.startswith("-")
        assert not shown.endswith("-")
        shown.encode()


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(tricky | anything, tricky | anything),
        min_size=1,
        max_size=8,
        unique_by=lambda x: x[1],
    )
)
def test_ids_stay_apart_and_speakers_too_whether_case_is_folded_or_not(
    who: list[tuple[str, str]],
) -> None:
    rows = [(row(id_, speaker, "", ""), "") for speaker, id_ in who]
    with tempfile.TemporaryDirectory() as folder:
        lines = write_trn(systems(*rows), Path(folder), normaliser="none")[0].read_text("utf-8")
    ids = [line[2:-1] for line in lines.splitlines()]
    speakers = [id_.partition("-")[0] for id_ in ids]  # what `-i spu_id` takes
    for fold in (bytes, bytes.lower):  # sclite folds A-Z and no more
        assert len({fold(id_.encode()) for id_ in ids}) == len(who)
        folded = {fold(name.encode()) for name in speakers}
        assert len(folded) == len({speaker for speaker, _ in who})
    for id_, name, (speaker, utterance) in zip(ids, speakers, who, strict=True):
        found = [unquote(part, errors="surrogatepass") for part in (name, id_[len(name) + 1 :])]
        assert found == [speaker or "%~", utterance or "%~"]


# --- NIST's programs ------------------------------------------------------------------------------


def sclite_counts(ref: Path, hyp: Path, *options: str) -> dict[str, ErrorCounts]:
    """Return what sclite's table of speakers says of two exported files, by the true speaker.

    Both lie in one folder; their names tell the formats: `.trn`, or `.stm` and `.ctm`.
    """
    command = ["sctk", "sclite", "-i", "spu_id", "-s", "-r", ref.name, ref.suffix[1:]]
    command += ["-h", hyp.name, hyp.suffix[1:], *options, "-o", "rsum", "stdout"]
    table = sctk(command, ref.parent)
    *rows, whole = re.findall(r"^ *\|(.*?)\|([ \d]+)\|([ \d]+)\| *$", table, flags=re.MULTILINE)
    counts = {unquote(name.strip(), errors="surrogatepass"): errors for name, _, errors in rows}
    by_speaker = {name: ErrorCounts(*map(int, row.split()[:4])) for name, row in counts.items()}
    assert whole[0].strip() == "Sum"
    assert total(by_speaker.values()) == ErrorCounts(*map(int, whole[2].split()[:4]))
    return by_speaker


def sctk(command: Sequence[str], folder: Path, told: str = "") -> str:
    """Return what a program of the toolkit prints."""
    return subprocess.run(
        command,
        cwd=folder,
        input=told,
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=60,
    ).stdout


def our_counts(
    rows: Sequence[Hypothesis], called: dict[str, str], normaliser: str
) -> dict[str, ErrorCounts]:
    """Return the word errors by what each speaker is called."""
    normalise = normaliser_named(normaliser)
    counts: dict[str, ErrorCounts] = {}
    for each in rows:
        errors = word_errors(normalise(each.reference), normalise(each.hypothesis))
        counts[each.speaker] = counts.get(each.speaker, ErrorCounts()) + errors
    return {called[speaker]: errors for speaker, errors in counts.items()}


def check_with_sclite(hypotheses: Hypotheses, folder: Path, *, normaliser: str) -> None:
    """Let sclite count hypotheses again (a run folder's, for instance): it must count as we do."""
    write_trn(hypotheses, folder, normaliser=normaliser)
    for name in (name for name in SETS if name in hypotheses["base"]):
        found = score(*(hypotheses[system][name] for system in SYSTEMS), normaliser=normaliser)
        reference = folder / f"{name}.ref.trn"
        lines = reference.read_text("utf-8").splitlines()
        called = {  # most are called what they are; an endless name is cut
            each.speaker: unquote(line.rpartition("(")[2].partition("-")[0])
            for each, line in zip(hypotheses["base"][name], lines, strict=True)
        }
        for system, ours in zip(SYSTEMS, (found.base, found.adapted), strict=True):
            counts = sclite_counts(reference, folder / f"{name}.{system}.trn")
            assert counts == our_counts(hypotheses[system][name], called, normaliser)
            whole = total(counts.values())
            assert whole.references == found.words
            assert dataclasses.astuple(whole)[1:] == (
                ours.substitutions,
                ours.deletions,
                ours.insertions,
            )


# Pairs that sclite would take for one word, words that it would not take for one, and plain words.
TRICKY = (
    "the wee cat sat on a loch och aye A É é à ß 日本 a\u0301 a\u200bb "
    "{ } / ( ) {um/uh} { a / b } a{b a}b (uh) (a) @ a@b * a* ** *a ; ;; a; a;b a;c ;; <unk> "
    "<b_aside> < > <alt <ALT_BEGIN> %hesitation % %25 %s%n wo- would -wo - -- ^ ^a \\ a\\b ab \\n "
    '" a"b a" \' `a` : a:b , a,b C,"a","b" # & [laughs] ~ | \x01 \x7f \0 '
    "ignore_time_segment_in_scoring xIGNORETIMESEGMENTINSCORINGx IGNORE_TIME_SEGMENT_IN_SCORING"
)
WORDS = TRICKY.split()
LONG = ("x" * 95, "x" * 96, "x" * 97, "x" * 1200, "x" * 1200 + "y", "é" * 700)
ALIKE = {
    "a*": "a", "a;b": "a;c", "a\\b": "ab", "a\u200bb": "ab", "A": "a", "É": "é", "wo-": "would",
    LONG[3]: LONG[4],
}  # fmt: skip
SPEAKERS = (
    "Ann", "ann", "ANN", "%41nn", "a b", "a-b", "a_b", "a", "(x)", "é", "É", "日本", "x;y", 'x"y',
    "a|b", "Sum", "", " ", "s" * 600 + "1", "s" * 600 + "2", "../x", "-", "_", "@", "{", "<a>", "*",
)  # fmt: skip
IDS = ("", "U", "u", "u-1", "u_1", "(u)", "u v", "é", ";;", "*", '"', "p225/p225_001", "x" * 2000)


def nasty(seed: int, *, utterances: int = 80) -> Hypotheses:
    """Return hypotheses full of errors, of words and names that mean something to sclite."""
    rng = random.Random(seed)

    def text(words: int) -> list[str]:
        return [rng.choice(LONG if rng.random() < 0.03 else WORDS) for _ in range(words)]

    def noisy(words: Sequence[str]) -> str:
        heard = []
        for word in words:
            instead = [[word], [ALIKE.get(word, word)], text(1), [], [*text(1), word]]
            heard += rng.choices(instead, [6, 3, 1, 1, 1])[0]
        return " ".join(heard if rng.random() < 0.9 else text(rng.randrange(3)))

    rows = []
    for number in range(utterances):
        said = text(rng.choice([0, 1, 3, 6, 12]))
        id_ = IDS[number] if number < len(IDS) else f"{rng.choice(IDS[:-1])}{number}"
        speaker = rng.choice(SPEAKERS)
        length = round(rng.uniform(0.01, 9), 3)
        base = row(id_, speaker, " ".join(said), noisy(said), duration=length)
        rows.append((base, noisy(said)))
    return systems(*rows, name=rng.choice(SETS))


@needs_sctk
@pytest.mark.parametrize("seed", range(20))
def test_sclite_counts_every_speakers_errors_as_we_do(seed: int, tmp_path: Path) -> None:
    hypotheses = nasty(seed)
    check_with_sclite(hypotheses, tmp_path, normaliser="plain" if seed % 4 == 3 else "none")


@needs_sctk
@pytest.mark.parametrize("seed", range(20))
def test_sc_stats_finds_our_mapsswe_to_its_printed_digits(seed: int, tmp_path: Path) -> None:
    hypotheses = nasty(seed, utterances=40)
    reference, base, adapted = write_trn(hypotheses, tmp_path, normaliser="none")
    command = ["sctk", "sclite", "-i", "spu_id", "-s", "-r", reference.name, "trn"]
    command += ["-h", base.name, "trn", "base", "-h", adapted.name, "trn", "adapted"]
    alignments = sctk([*command, "-o", "sgml", "stdout"], tmp_path)
    test = ["sctk", "sc_stats", "-p", "-t", "mapsswe", "-n", "nist"]
    sctk([*test, "-v"], tmp_path, alignments)
    told = (tmp_path / "nist.stats.mapsswe").read_text(encoding="utf-8")
    summary = re.search(r"# segs: (\d+).*Z Stat: ([-\d.]+)", told)
    sctk([*test, "-u"], tmp_path, alignments)
    unified = (tmp_path / "nist.stats.unified").read_text(encoding="utf-8")
    p_value = re.search(r"\| +MP +\|\| +base +\|.*?\|\D*([\d.]+)", unified)
    assert summary is not None
    assert p_value is not None
    rows = (next(iter(hypotheses[system].values())) for system in SYSTEMS)
    ours = score(*rows, normaliser="none").difference.other_tests
    assert ours is not None
    assert (str(ours.mapsswe.segments), f"{ours.mapsswe.z:.3f}") == summary.groups()
    assert f"{ours.mapsswe.p_value:.3f}" == p_value[1]


@needs_sctk
@pytest.mark.parametrize("seed", range(20))
def test_sclite_counts_the_same_by_segments_and_times(seed: int, tmp_path: Path) -> None:
    hypotheses = nasty(seed, utterances=40)
    trn = write_trn(hypotheses, tmp_path, normaliser="none")
    segments, *heard = write_stm(hypotheses, tmp_path, normaliser="none")
    for text, times in zip(trn[1:], heard, strict=True):
        assert sclite_counts(segments, times) == sclite_counts(trn[0], text)


@needs_sctk
def test_case_alone_keeps_no_two_speakers_of_sclite_together(tmp_path: Path) -> None:
    rows = [(row(f"U{i}", name, "a b", "a"), "") for i, name in enumerate(("Ann", "ann", "ANN"))]
    reference, base, _ = write_trn(systems(*rows), tmp_path, normaliser="plain")
    folded = ["sctk", "sclite", "-i", "spu_id", "-r", reference.name, "trn"]
    table = sctk([*folded, "-h", base.name, "trn", "-o", "rsum", "stdout"], tmp_path)
    assert len(re.findall(r"\| *1 +2 *\| *1 +0 +1 +0 ", table)) == 3


@needs_sctk
def test_other_options_of_sclite_forgive_nothing(tmp_path: Path) -> None:
    forgivable = row("u1", "ailsa", "wo- a (uh) b -ly", "would a b badly")
    reference, base, _ = write_trn(systems((forgivable, "")), tmp_path, normaliser="none")
    assert sclite_counts(reference, base, "-F", "-D", "-e", "utf-8") == {
        "ailsa": ErrorCounts(hits=2, substitutions=2, deletions=1)
    }


@needs_sctk
@pytest.mark.parametrize("report", ["pralign", "prf", "dtl", "snt", "spk", "sum", "lur"])
def test_other_reports_of_sclite_come_to_an_end(report: str, tmp_path: Path) -> None:
    reference, base, _ = write_trn(nasty(0), tmp_path, normaliser="none")
    command = ["sctk", "sclite", "-i", "spu_id", "-s", "-r", reference.name, "trn"]
    assert sctk([*command, "-h", base.name, "trn", "-o", report, "stdout"], tmp_path)
