"""What `speechtl.text` promises: documented rules, versions that hold, maps that are named."""

from __future__ import annotations

import hashlib
import json
import random
import re
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from speechtl.errors import ConfigError
from speechtl.text import ACCENT_MAPS, NORMALISERS, accent_map, accent_maps, normaliser, version

WITH_MAPS = [f"{base}+{name}" for base in ("plain", "whisper-english") for name in ACCENT_MAPS]
IDEMPOTENT = [name for name in (*NORMALISERS, *WITH_MAPS) if not name.startswith("whisper")]

# Signs whose rules meet one another, which arbitrary text seldom puts side by side.
TRICKY = st.text(st.sampled_from("aZ1\u0301 .,'\u2019\u00b4\u0149-\u2013\u00ad\u200d\u2026ßİ½_/"))
DIALECT = st.lists(
    st.sampled_from([form for name in ACCENT_MAPS for form in accent_maps.table(name)])
    | st.sampled_from(["'s", "’re", "Wi'", "the", "-", "U.K.", "?"])
).map(" ".join)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("She DIDN'T go.", "she didn't go"),
        ("She didn’t, o´er there", "she didn't o'er there"),
        ("'Tis the dogs' “bone”", "tis the dogs bone"),
        ("a well-known—even famous–wee_thing and/or", "a well known even famous wee thing and or"),
        ("yes…no...hello,world", "yes no hello world"),
        ("The U.S.A., e.g. Mr. A. Smith", "the usa eg mr a smith"),
        ("1,000 at 3.5, no. 7.", "1000 at 3.5 no 7"),
        ("5 + 3 = 8 £", "5 3 8"),
        ("  tabs\tand\nlines  ", "tabs and lines"),
        ("Straße ﬁne", "strasse fine"),
        ("soft\u00adhyphen", "softhyphen"),
        ("cafe\u0301", "café"),
        ("हिन्दी में।", "हिन्दी में"),
        ("?!", ""),
        ("", ""),
    ],
)
def test_plain_keeps_what_is_spoken(text: str, plain: str) -> None:
    assert normaliser("plain")(text) == plain


def spoken(text: str) -> str:
    """Return the text as the six rules of `plain` have it, each applied to all of the text."""
    marks = "\u2018\u2019\u201a\u201b\u02bb\u02bc\u2032`\u00b4\uff07"
    for mark in marks:
        text = text.replace(mark, "'")
    text = unicodedata.normalize("NFKC", text).casefold()
    for mark in marks:
        text = text.replace(mark, "'")
    dotted = r"(?<!\w)(?:[^\W\d_]\.)+[^\W\d_](?!\w)(?:\.(?!\w))?"
    text = re.sub(dotted, lambda found: found[0].replace(".", ""), text)
    categories = {letter: unicodedata.category(letter) for letter in set(text)}
    text = "".join(each for each in text if categories[each] != "Cf")
    text = "".join(each if categories[each][0] in "LMN" or each in "'.," else " " for each in text)
    text = re.sub(r"(?<=\d),(?=\d)", "", text)
    text = re.sub(r",|(?<!\d)\.|\.(?!\d)", " ", text)
    return " ".join(re.sub(r"(?<![^ '])'|'(?![^ '])", " ", text).split())


ASCII = st.text(st.sampled_from("aZb19 .,'`-\t")) | st.text(st.characters(codec="ascii"))
SETTLED = st.from_regex(r"[a-z0-9]+([ '][a-z0-9]+)*", fullmatch=True)


@settings(max_examples=150)
@given(st.text() | TRICKY | ASCII | SETTLED)
@example("Yes, 1,000., 3.5. '5. ,'a.b. a.")
def test_plain_is_what_its_rules_come_to(text: str) -> None:
    returned = normaliser("plain")(text)
    while (once := spoken(text)) != text:
        text = once
    assert returned == text


@pytest.mark.parametrize("text", ["{}!", "{0} {0}", "{0}'{0}'", "É {}", "{}.{}."])
def test_plain_takes_time_as_a_text_is_long(text: str) -> None:
    started = time.process_time()
    normaliser("plain")(text.replace("{}", "{0}").format("well " * 20_000 + "a" * 100_000))
    assert time.process_time() - started < 1


@given(st.text())
def test_none_changes_nothing(text: str) -> None:
    assert normaliser("none")(text) == text


@pytest.mark.parametrize("name", IDEMPOTENT)
@given(text=st.text() | TRICKY | DIALECT)
def test_normalising_twice_is_normalising_once(name: str, text: str) -> None:
    normalise = normaliser(name)
    assert normalise(normalise(text)) == normalise(text)


@given(st.lists(st.text("abcdefghij", min_size=1), min_size=1))
def test_plain_words_pass_unchanged(words: list[str]) -> None:
    assert normaliser("plain")(" ".join(words)) == " ".join(words)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Mr. Low won't realise it's grey.", "mister low will not realize it is gray"),
        ("it’s, it's", "it s it is"),
        ("archaeology, archeology", "archeology</span> archeology"),
        ("I'm gonna [noise] (laughs) <b>go</b>, uh, home", "i am going to go home"),
        ("twenty one pounds and seven per cent", "£21 and 7%"),
        ("one hundred and twenty-five, $2 and ¢7", "125 $2.07"),
        ("café “naïve” 🙂", "cafe naive "),
        ("I dinnae ken, it's a wee dram", "i dinnae ken it is a wee dram"),
        ("\x00\t\x1c<script>alert(1)</script>", "\x00 alert"),
        ("[[a] b]", " b "),
        ("(", ""),
        ("", ""),
    ],
)
def test_whisper_english_reads_english_as_whisper_does(text: str, normal: str) -> None:
    assert normaliser("whisper-english")(text).strip() == normal.strip()


# What its stages act on, and what stands where two of them meet.
WRITTEN = """
    one two three oh o zero nine ten eleven nineteen twenty thirty ninety hundred hundreds
    thousand million first second third fifth twelfth twentieth thousandth sixes twenties and half
    double triple point minus negative plus positive pound pounds dollars cents euro per cent
    percent a wanna gotta gonna imma mr mrs st dr prof capt gen sen rep jr esq i ma let uh um hmm
    mm mhm can't won't ain't y'all i'ma ma'am couldn't've who'sn't he'd been gone done got
    it's she'll we're n't 's 'd 'm ' ’ don’t colour realise aluminium archaeology flyer centre
    theatre the go £ $5 ¢7 $2 £3.50 $0.07 €20 50% % 100 1 1s 0 007 1960s 2nd 274th 1,000 3.5.6
    5. x.5 5pm b2b +5 [noise] (laughs) <script> </b> [ ] ( ) < > . , ? ! - — … é ß ø ﬁ Ⅷ ² ½ ٣
    ① İ 𝐀 🙂 日本 \u0301 \x00 \u200b \u00ad dinnae wee aye A.M. U.S.
"""
SCRAPS = [*WRITTEN.split(), "and a half", "it's beenn't"]


@pytest.fixture(scope="module")
def transformers_own() -> Callable[[str], str]:
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    from speechtl.text.whisper_english import spellings

    own: Callable[[str], str] = EnglishTextNormalizer(spellings())
    return own


def scraps_together(rng: random.Random) -> str:
    between = rng.choice([" ", " ", " ", "", " '", "-", "\t", "  "])
    text = between.join(rng.choice(SCRAPS) for _ in range(rng.choice([1, 2, 3, 5, 8, 15])))
    return text.title() if rng.random() < 0.3 else text


def test_whisper_english_gives_what_transformers_gives(
    transformers_own: Callable[[str], str],
) -> None:
    rng, ours = random.Random(0), normaliser("whisper-english")
    texts = [scraps_together(rng) for _ in range(6000)]
    assert [(text, ours(text)) for text in texts] == [
        (text, transformers_own(text)) for text in texts
    ]


@given(text=st.text() | TRICKY | st.lists(st.sampled_from(SCRAPS)).map(" ".join))
def test_whisper_english_gives_what_transformers_gives_whatever_the_text(
    text: str, transformers_own: Callable[[str], str]
) -> None:
    assert normaliser("whisper-english")(text) == transformers_own(text)


def test_whisper_english_is_several_times_as_fast_as_transformers(
    transformers_own: Callable[[str], str],
) -> None:
    texts = ["the old doctor doesn't know the colour of the well-known theatre"] * 200

    def seconds(normalise: Callable[[str], str]) -> float:
        started = time.process_time()
        for text in texts:
            normalise(text)
        return time.process_time() - started

    ours, theirs = (
        min(seconds(normalise) for _ in range(5))
        for normalise in (normaliser("whisper-english"), transformers_own)
    )
    assert ours < theirs / 2


def test_whisper_english_leaves_a_number_too_long_for_python_as_it_is() -> None:
    long = "7" * 5000
    assert normaliser("whisper-english")(f"The {long}, colours") == f"the {long} colors"


def test_whisper_english_is_not_idempotent() -> None:
    normalise = normaliser("whisper-english")
    assert normalise("double oh seven") == "007"
    assert normalise("007") == "7"


def test_the_spelling_table_is_the_one_that_its_licence_file_names() -> None:
    data = Path(accent_maps.__file__).with_name("data")
    table = (data / "whisper_english_spellings.json").read_bytes()
    licence = (data / "whisper_english_spellings.LICENSE").read_text(encoding="utf-8")
    assert hashlib.sha256(table).hexdigest() in licence
    assert f"{len(json.loads(table)):,} pairs" in licence
    assert "MIT License" in licence
    assert "Copyright (c) 2022 OpenAI" in licence


def test_transformers_is_imported_only_for_whisper_english() -> None:
    code = """
import sys
from speechtl.text import normaliser, version
heavy = {"torch", "transformers", "numpy", "regex"}
normaliser("plain+scots")("aye"), version("whisper-english+scots")
assert not heavy & set(sys.modules), heavy & set(sys.modules)
normaliser("whisper-english")("aye")
assert "transformers" in sys.modules and "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "text", "normal"),
    [
        ("plain+scots", "I didnae ken the wee hoose.", "i didn't know the little house"),
        ("plain+scots", "Aye, wi' the bairn’s heid", "yes with the child's head"),
        ("plain+scots", "YE'RE no going oot", "you're no going out"),
        ("plain+scots", "gonnae no dae that", "going to no do that"),
        ("plain+scots", "weed weep awee o'wee", "weed weep awee o'wee"),
        ("plain+scots", "the Kent lad's bonnie lang kirk", "the kent lad's bonnie lang kirk"),
        ("whisper-english+scots", "I didnae ken the grey hoose", "i did not know the gray house"),
        ("whisper-english+scots", "ye're awa", "you are away"),
        ("plain+northern", "There's nowt owd about summat", "there's nothing old about something"),
        ("plain", "aye, nowt wee", "aye nowt wee"),
        ("whisper-english", "aye, nowt wee", "aye nowt wee"),
    ],
)
def test_a_map_rewrites_whole_words_where_it_is_named(name: str, text: str, normal: str) -> None:
    assert normaliser(name)(text) == normal


@pytest.mark.parametrize("form", ["didnae", "cannae", "isnae", "wouldnae", "dinna", "willnae"])
def test_a_negative_becomes_what_the_normaliser_makes_of_the_standard_one(form: str) -> None:
    standard = accent_maps.table("scots")[form]
    for base in ("plain", "whisper-english"):
        assert normaliser(f"{base}+scots")(form) == normaliser(base)(standard)


@pytest.mark.parametrize("name", WITH_MAPS)
def test_what_has_no_form_of_the_map_is_left_to_the_normaliser(name: str) -> None:
    base = normaliser(name.partition("+")[0])
    for text in FIXED:
        if not set(accent_maps.table(name.partition("+")[2])) & set(base(text).split()):
            assert normaliser(name)(text) == base(text)


@pytest.mark.parametrize("name", ACCENT_MAPS)
def test_the_forms_of_a_map_are_single_words_that_no_normaliser_changes(name: str) -> None:
    for form in accent_maps.table(name):
        assert re.fullmatch("[a-z]+", form), form
        assert all(normaliser(base)(form) == form for base in NORMALISERS), form


@pytest.mark.parametrize("name", ACCENT_MAPS)
def test_no_standard_form_has_a_word_that_the_map_would_rewrite_again(name: str) -> None:
    table = accent_maps.table(name)
    chains = [
        (form, standard, word)
        for form, standard in table.items()
        for base in ("plain", "whisper-english")
        for word in re.findall("[a-z]+", f"{standard} {normaliser(base)(standard)}")
        if word in table
    ]
    assert not chains


@pytest.mark.parametrize("name", ACCENT_MAPS)
def test_each_row_of_a_map_is_a_form_a_tab_and_what_plain_leaves_as_it_is(name: str) -> None:
    data = Path(accent_maps.__file__).with_name("data") / f"{name}.tsv"
    rows = [line for line in data.read_text(encoding="utf-8").splitlines() if line[0] != "#"]
    assert all(len(row.split("\t")) == 2 for row in rows)
    assert len(accent_maps.table(name)) == len(rows), "a form stands twice"
    assert all(normaliser("plain")(standard) == standard for standard in map(second, rows))


def second(row: str) -> str:
    return row.split("\t")[1]


@pytest.mark.parametrize(
    "left_out", ["hiv", "kent", "dug", "lang", "lad", "bonnie", "yer", "ma", "an"]
)
def test_words_that_are_english_too_are_no_scots_forms(left_out: str) -> None:
    assert normaliser("plain+scots")(left_out) == left_out


@pytest.mark.parametrize(
    ("accent", "name"),
    [
        ("scottish", "scots"),
        ("Scottish English", "scots"),
        ("scottish_female", "scots"),
        ("en-gb-scotland", "scots"),
        ("northern_male", "northern"),
        ("Northern England", "northern"),
        ("lancashire", "northern"),
        ("Northern Irish", None),
        ("irish", None),
        ("general", None),
        ("english", None),
        ("", None),
    ],
)
def test_an_accent_has_its_map_or_none(accent: str, name: str | None) -> None:
    assert accent_map(accent) == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "plane",
            r"'plane'; did you mean 'plain'\?.*none, plain, whisper-english.*scots, northern",
        ),
        ("whisper_english", "did you mean 'whisper-english'"),
        ("Plain+Scottish", r"did you mean 'plain\+scots'"),
        ("plain+", r"unknown normaliser 'plain\+'"),
        ("+scots", r"unknown normaliser '\+scots'"),
        ("scots", "unknown normaliser 'scots'"),
        ("plain+scots+northern", "unknown normaliser"),
        ("", "unknown normaliser ''; the known ones"),
        ("xyzzy", "unknown normaliser 'xyzzy'; the known ones"),
        ("none+scots", r"makes out none; take 'plain\+scots'"),
    ],
)
@pytest.mark.parametrize("asked", [normaliser, version])
def test_an_unknown_name_is_refused_with_the_known_ones(
    asked: Callable[[str], object], name: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        asked(name)


def test_a_version_names_the_normalisers_and_the_maps() -> None:
    assert version("plain") == "1"
    assert version("whisper-english+scots") == "1+1"


FIXED = [
    *("", " ", "?!", "...", "\x00\x1f", "\u200b\ufeff", "  two  spaces ", "tab\tand\nline"),
    *("She DIDN'T go.", "They’ll´ve gone, won`t they?", "'Tis the dogs' “bone”", "rock 'n' roll"),
    *("a well-known—even famous–wee_thing", "and/or", "yes…no...hello,world", "co-operate"),
    *("The U.S.A., e.g. Mr. A. Smith", "Dr. Jones, Prof. Low and St. Mary", "at 5 p.m. sharp"),
    *("1,000 at 3.5, no. 7.", "5 + 3 = 8 £", "£3.50 and $2 and ¢7", "50% of 20 per cent"),
    *("twenty one", "one hundred and twenty-five", "two thousand and six", "nineteen eighty four"),
    *("oh one three one", "double oh seven", "three point one four", "one and a half", "minus two"),
    *("the second of the first", "ones and twenties", "the 1960s, the 2nd", "a pint o' milk"),
    *("five pounds fifty", "twenty million dollars", "plus and minus", "point and click"),
    *("Straße ﬁne", "soft\u00adhyphen", "cafe\u0301 naïve", "œuvre Łódź", "x² ½ Ⅷ ①", "İstanbul"),
    *("हिन्दी में।", "日本語です。", "🙂 smile", "٣ dates", "[noise] hello (laughs)", "<script>x"),
    *(
        "[[nested] brackets]",
        "a < b > c",
        "gonna wanna gotta",
        "I'ma go, y'all",
        "he's been and I'd",
    ),
    *("uh, um, hmm, mm-hmm", "ain't", "couldn't've", "colour, grey, realise", "archaeology"),
    *("I dinnae ken, it's a wee hoose", "Aye, wi' the bairn’s heid", "YE'RE no going oot"),
    *("gonnae no dae that", "fae hame tae the toun", "there's nowt owd here", "tek it thissen"),
    *("weed weep awee", "Kent, Ken and Bonnie", "the the the"),
]

FROZEN = {
    ("none", "1"): "e8644e0376b6d697",
    ("plain", "1"): "457dd5586ce4eda7",
    ("whisper-english", "1"): "05774e3b338f990a",
    ("plain+scots", "1+1"): "d6c0fa8fc6a491e2",
    ("plain+northern", "1+1"): "18e0535c21373ae6",
    ("whisper-english+scots", "1+1"): "6aa50ae72f611b8f",
    ("whisper-english+northern", "1+1"): "6c5fdc3ba85220e5",
}


@pytest.mark.parametrize("name", [*NORMALISERS, *WITH_MAPS])
def test_a_version_returns_for_ever_what_it_returned_at_first(name: str) -> None:
    returned = [normaliser(name)(text) for text in FIXED]
    if "+" in name:
        returned += map(normaliser(name), accent_maps.table(name.partition("+")[2]))
    digest = hashlib.sha256(json.dumps(returned).encode()).hexdigest()[:16]
    assert FROZEN.get((name, version(name))) == digest, (
        f"{name!r} no longer returns what its version {version(name)} returned: take the change"
        " back, or raise the version (speechtl/text/__init__.py; of a map, accent_maps.py) and put"
        f" the digest {digest!r} here, under the new version"
    )


def test_the_examples_and_counts_in_the_documentation_are_what_comes_out() -> None:
    page = (Path(__file__).parents[1] / "docs" / "normalisers.md").read_text(encoding="utf-8")
    table = page[page.index("| as written |") :].partition("\n\n")[0]
    head, _, *rows = [
        [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        for line in table.splitlines()
    ]
    assert len(rows) >= 5
    for text, *normal in rows:
        for name, expected in zip(head[1:], normal, strict=True):
            assert normaliser(name)(text).strip() == expected, (name, text)
    for name in ACCENT_MAPS:
        row = re.search(rf"^\| `{name}` .*\| (\d+) \|$", page, flags=re.MULTILINE)
        assert row is not None
        assert int(row[1]) == len(accent_maps.table(name))
