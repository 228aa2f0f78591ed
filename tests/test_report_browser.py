"""The report in a real browser: quiet, safe from what stands in the data, heard, seen and reached.

What is asked is what the page is, not how it is written: no test here knows a class.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Chromium, Opened, found, started

from speechtl import audio
from speechtl.leakage import Overlap
from speechtl.report import html
from speechtl.report.phrases import shown_name
from speechtl.scoring import (
    DataFacts,
    Dropped,
    Epoch,
    Hypotheses,
    Hypothesis,
    LabelRound,
    Parameters,
    RunFacts,
    Swept,
    Timing,
    make_report,
)

pytestmark = pytest.mark.skipif(
    found() is None,
    reason="no browser: install Debian's chromium, or name one with SPEECHTL_CHROMIUM",
)

HOSTILE = (
    "<script>alert('och')</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "</style><style>*{display:none!important}</style>",
    "</title><iframe srcdoc='<script>alert(1)</script>'>",
    "javascript:alert('och')//",
    "<a href=javascript:alert(1)>och</a>",
    "<!-- <x-och>",
    "&lt;x-och&gt; &amp;amp;",
    "{{ 7 * 7 }} {% raw %}",
)
"""What a transcript, a name or a reason may hold, and a page must only ever show."""

LENGTHS = tuple(0.4 + 0.25 * i for i in range(9))  # s; further apart than a length may be wrong
REPAIRED, BROKEN, ELSEWHERE = range(6), range(6, 8), range(8, 9)
"""The utterances that have a recording: the first two of the target set, the last of another."""

UNCHANGED = range(9, 33)
"""Enough of them that the report folds speakers away."""

CONTROL, SILENT = range(33, 35), range(35, 37)


def hostile(kind: str, number: int) -> str:
    return f"{kind} {number} {HOSTILE[number % len(HOSTILE)]}"


def right(number: int) -> str:
    return f"the cat {HOSTILE[number % len(HOSTILE)]} sat down"


def wrong(number: int) -> str:
    return f"that cat sat {HOSTILE[-number % len(HOSTILE)]}"


def recordings(folder: Path) -> dict[int, Path]:
    """Write a hum in noise of each of the lengths, and return the files."""
    paths = {}
    for number, length in enumerate(LENGTHS):
        rng = np.random.default_rng(number)
        times = np.arange(round(length * audio.SAMPLE_RATE)) / audio.SAMPLE_RATE
        hum = np.sin(2 * np.pi * 220 * times) + 0.1 * rng.standard_normal(times.size)
        paths[number] = folder / f"{number}.wav"
        audio.write(paths[number], (0.2 * hum).astype(np.float32))
    return paths


def both_systems(paths: Mapping[int, Path]) -> Hypotheses:
    """Return hypotheses of every set, hostile in all that they hold."""

    def row(number: int, text: str) -> Hypothesis:
        return Hypothesis(
            id=hostile("utterance", number),
            audio=str(paths.get(number, "/gone.wav")),
            speaker=hostile("speaker", number + 1),
            accent=hostile("accent", number + 2),
            reference="" if number in SILENT else right(number),
            hypothesis=text,
            duration=0.4 + 0.25 * number,
            snr_db=float(number),
            seen=number % 2 == 0,
        )

    sets = {
        "target": (*REPAIRED, *BROKEN, *UNCHANGED),
        "general": ELSEWHERE,
        "control": CONTROL,
        "silence": SILENT,
    }
    fails = {"base": {*REPAIRED, *UNCHANGED}, "adapted": {*BROKEN, *UNCHANGED, *ELSEWHERE}}
    return {
        system: {
            name: [row(i, (wrong if i in failed else right)(i)) for i in numbers]
            for name, numbers in sets.items()
        }
        for system, failed in fails.items()
    }


FACTS = RunFacts(
    accent=HOSTILE[1],
    model=f"model {HOSTILE[4]}",
    revision=HOSTILE[0],
    family="ctc",
    strategy=HOSTILE[2],
    why=HOSTILE[3],
    seed=7,
    normaliser="none",
    parameters=Parameters(trainable=3_000_000, frozen=1_000_000),
    cut=HOSTILE[4],
    timing=Timing(load_s=1.0, features_s=2.0, train_s=3.0, score_s=4.0, total_s=10.0),
    training=(Epoch(0, 0, None, 0.5), Epoch(1, 12, 1.25, 0.25), Epoch(2, 24, 0.75, 0.3)),
    best_epoch=1,
    interpolation=0.5,
    sweep=(Swept(0.0, 0.8, 0.1), Swept(0.5, 0.4, 0.11), Swept(1.0, 0.2, None)),
    pseudo_labels=(
        LabelRound(round=0, dev_wer=0.5),
        LabelRound(
            round=1,
            utterances=30,
            minutes=2.0,
            kept=20,
            kept_minutes=1.5,
            confidence=0.8,
            expected_wer=0.29,
            left_out={HOSTILE[0]: 10},
            dev_wer=0.4,
        ),
    ),
    kept_round=1,
    stopped=HOSTILE[6],
    max_forgetting=1.0,
    corpus=f"corpus {HOSTILE[5]}",
    control=f"control {HOSTILE[0]}",
    leakage=(
        Overlap(
            first="train",
            second="test",
            utterances=30,
            speakers=(hostile("speaker", 1),),
            prompts=1,
            near_prompts=1,
            audio=1,
            examples=tuple(
                (kind, hostile("utterance", 0), hostile("trained", 1))
                for kind in ("speaker", "prompt", "near prompt", "audio")
            ),
        ),
    ),
    data={
        split: DataFacts(minutes=12.34, utterances=1200, speakers=9)
        for split in ("train", "dev", "test")
    },
    dropped=tuple(Dropped(hostile("left", i), hostile("reason", i)) for i in range(len(HOSTILE))),
    versions={hostile("package", i): hostile("version", i) for i in range(len(HOSTILE))},
    licences=tuple(hostile("licence", i) for i in range(len(HOSTILE))),
)

ORDINARY = dataclasses.replace(
    FACTS,
    accent="west_midlands",
    model="starter-wav2vec2",
    revision=None,
    strategy="encoder",
    why=None,
    cut="feature_projection",
    training=(),
    best_epoch=None,
    sweep=(),
    pseudo_labels=(),
    kept_round=0,
    stopped=None,
    max_forgetting=None,
    corpus="",
    control=None,
    leakage=(),
    data={},
    dropped=(),
    versions={},
    licences=(),
)
"""A run of which little is known."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    """Return a browser for the tests of this module: no other may run beside it, see `started`."""
    with started() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def hypotheses(tmp_path_factory: pytest.TempPathFactory) -> Hypotheses:
    return both_systems(recordings(tmp_path_factory.mktemp("recordings")))


@pytest.fixture(scope="module")
def report(hypotheses: Hypotheses, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a report with everything that one may have, hostile wherever a person may write."""
    path = tmp_path_factory.mktemp("whole") / "report.html"
    made = make_report(
        FACTS,
        hypotheses["base"],
        hypotheses["adapted"],
        pronunciations={"the": (HOSTILE[0], HOSTILE[1]), "cat": ("K", HOSTILE[2])},
    )
    path.write_text(html.render(made, hypotheses), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def bare_report(hypotheses: Hypotheses, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a report with as little as one may have, and nobody hostile."""
    kept = {
        system: {
            "target": [
                dataclasses.replace(row, id=f"u{i}", speaker="ann", reference="a", hypothesis="a")
                for i, row in enumerate(sets["target"][:2])
            ]
        }
        for system, sets in hypotheses.items()
    }
    path = tmp_path_factory.mktemp("bare") / "report.html"
    made = make_report(ORDINARY, kept["base"], kept["adapted"])
    path.write_text(html.render(made, kept, audio=False), encoding="utf-8")
    return path


SETTINGS = [
    pytest.param({"width": width, "dark": dark}, id=f"{width}, {'dark' if dark else 'light'}")
    for width in (390, 1400)
    for dark in (False, True)
]


@pytest.fixture(scope="module", params=SETTINGS)
def page(chromium: Chromium, report: Path, request: pytest.FixtureRequest) -> Iterator[Opened]:
    """Return the report as it is shown in each setting, with all that is folded away unfolded."""
    with chromium.opened(report, **request.param) as page:
        unfold(page)
        yield page


@pytest.fixture(params=SETTINGS)
def fresh(chromium: Chromium, report: Path, request: pytest.FixtureRequest) -> Iterator[Opened]:
    """Return the report as it opens, for tests that use it."""
    with chromium.opened(report, **request.param) as page:
        yield page


@pytest.fixture(scope="module", params=["report", "bare_report"])
def either(
    chromium: Chromium, report: Path, bare_report: Path, request: pytest.FixtureRequest
) -> Iterator[Opened]:
    """Return the report with everything, and the one with little, for tests that read its parts."""
    path = report if request.param == "report" else bare_report
    with chromium.opened(path, width=1400) as page:
        unfold(page)
        yield page


def unfold(page: Opened) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")


def none(faults: Sequence[object]) -> None:
    """Assert that there are no faults, and name the first of them otherwise."""
    assert not faults, "\n".join(["", *map(str, faults[:20])])


def play(page: Opened) -> list[dict[str, Any]]:
    """Play every recording until it moves, and return how it went."""
    went: list[dict[str, Any]] = page.evaluate(
        """() => Promise.all([...document.querySelectorAll("audio")].map(async audio => {
            audio.muted = true;
            const moved = new Promise(resolve => {
                audio.addEventListener("timeupdate", () => audio.currentTime > 0 && resolve());
                setTimeout(resolve, 10_000);
            });
            const refused = await audio.play().then(() => null, String);
            await moved;
            audio.pause();
            return {
                refused,
                error: audio.error && audio.error.message,
                time: audio.currentTime,
                duration: audio.duration,
                source: audio.currentSrc,
            };
        }))"""
    )
    return went


def decoded(page: Opened, sources: Sequence[str]) -> list[list[float]]:
    """Return how long the sound of each data URI is to its very end (s), and its loudest sample."""
    found: list[list[float]] = page.evaluate(
        """sources => Promise.all(sources.map(async source => {
            const bytes = Uint8Array.from(atob(source.split(",")[1]), one => one.charCodeAt(0));
            const sound = await new OfflineAudioContext(1, 1, 16_000).decodeAudioData(bytes.buffer);
            return [sound.duration, Math.max(...sound.getChannelData(0))];
        }))""",
        sources,
    )
    return found


# --- quiet and safe -------------------------------------------------------------------------------


def test_the_page_is_quiet_and_asks_for_nothing_whatever_is_unfolded_and_played(
    page: Opened,
) -> None:
    play(page)
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    page.page.wait_for_timeout(50)  # for what comes late
    none([line for line in page.console if line.level in {"error", "warning"}])
    none(page.errors)
    none(page.dialogs)
    none(page.foreign)
    assert page.page.context.pages == [page.page]


def test_hostile_text_becomes_no_element_and_no_attribute(page: Opened) -> None:
    never = "script, iframe, object, embed, form, base, x-och, img:not([src^='data:image/'])"
    made = "never => [...document.querySelectorAll(never)].map(part => part.outerHTML)"
    none(page.evaluate(made, never))
    attributes = page.evaluate(
        """[...document.querySelectorAll("*")].flatMap(part => [...part.attributes])
        .map(attribute => [attribute.name, attribute.value])"""
    )
    none([name for name, _ in attributes if name.startswith("on") or name == "srcdoc"])
    links = [value for name, value in attributes if name in {"href", "xlink:href", "src"}]
    assert links
    none([link for link in links if "script:" in link.lower()])


def squeezed(text: str) -> str:
    """Return a text without what a layout, or the writing of an accent's name, may change."""
    return re.sub(r"[\s_]", "", text).casefold()


def test_hostile_text_is_read_as_it_is(page: Opened) -> None:
    text = squeezed(page.evaluate("document.body.innerText"))
    changed = (*REPAIRED, *BROKEN, *ELSEWHERE)
    told = [
        FACTS.accent,
        FACTS.model,
        shown_name(FACTS.corpus),
        *FACTS.licences,
        *itertools.chain(*((item.id, item.reason) for item in FACTS.dropped)),
        *itertools.chain(*FACTS.versions.items()),
        *(hostile("speaker", number + 1) for number in (*changed, *UNCHANGED)),
        *(hostile("utterance", number) for number in changed),
        *itertools.chain(*(right(number).split() for number in changed)),
    ]
    none([item for item in told if squeezed(item) not in text])
    assert squeezed(FACTS.accent) in squeezed(page.page.title())


def test_the_file_can_be_sent_by_mail(report: Path) -> None:
    assert report.stat().st_size < 5_000_000


# --- heard ----------------------------------------------------------------------------------------


def test_every_recording_plays_and_is_as_long_as_it_was(page: Opened) -> None:
    went = play(page)
    none([item for item in went if item["refused"] or item["error"] or not item["time"]])
    nearest = [min(LENGTHS, key=lambda length: abs(length - item["duration"])) for item in went]
    assert [item["duration"] for item in went] == pytest.approx(nearest, abs=0.1)
    assert set(nearest) == set(LENGTHS)
    sounds = decoded(page, [item["source"] for item in went])
    assert [length for length, _ in sounds] == pytest.approx(nearest, abs=0.1)
    assert min(loudest for _, loudest in sounds) > 0.1


# --- laid out -------------------------------------------------------------------------------------


@pytest.mark.parametrize("unfolded", [False, True], ids=["folded", "unfolded"])
@pytest.mark.parametrize("name", ["report", "bare_report"])
def test_a_telephone_never_scrolls_the_page_sideways(
    chromium: Chromium, name: str, unfolded: bool, request: pytest.FixtureRequest
) -> None:
    with chromium.opened(request.getfixturevalue(name), width=390) as page:
        if unfolded:
            unfold(page)
        none(page.evaluate(SIDEWAYS))


SIDEWAYS = """() => {
    if (document.documentElement.scrollWidth <= innerWidth) return [];
    const cut = part => part && part !== document.body
        && (getComputedStyle(part).overflowX !== "visible" || cut(part.parentElement));
    const beyond = part => part.checkVisibility()
        && part.getBoundingClientRect().right > innerWidth && !cut(part);
    const parts = [...document.body.querySelectorAll("*")].filter(beyond)
        .filter(part => !beyond(part.parentElement)).map(part => part.outerHTML.slice(0, 120));
    return [`${document.documentElement.scrollWidth} of ${innerWidth} pixels`, ...parts];
}"""
"""What reaches beyond the page's right edge, without what scrolls or is cut off on its own."""


def test_a_wide_window_never_scrolls_the_page_sideways(either: Opened) -> None:
    none(either.evaluate(SIDEWAYS))


FOLDED = """[...document.querySelectorAll('details > :not(summary)')]
.filter(part => part.textContent.trim()).map(part => part.checkVisibility()
  ? part.getBoundingClientRect().height : 0)"""


def test_the_page_prints_dark_on_light_paper_and_without_players(
    chromium: Chromium, report: Path, tmp_path: Path
) -> None:
    with chromium.opened(report, width=800, printed=True) as page:
        folded = page.evaluate(FOLDED)
        players = page.evaluate(
            "[...document.querySelectorAll('audio')].map(audio => audio.checkVisibility())"
        )
        texts = page.evaluate(CONTRASTS)
        page.pdf(tmp_path / "report.pdf")
    assert len(folded) > 1
    assert all(height > 0 for height in folded), "what is folded on a screen is read on paper"
    assert len(players) >= len(LENGTHS)
    assert not any(players)
    none([text for text in texts if text["ratio"] < text["needed"]])
    assert np.median([text["paper"] for text in texts]) > 0.9
    content = (tmp_path / "report.pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) > 1


# --- read by a machine ----------------------------------------------------------------------------


def test_headings_begin_with_the_only_first_and_leave_no_level_out(either: Opened) -> None:
    headings = either.evaluate(
        """[...document.querySelectorAll("h1, h2, h3, h4, h5, h6")]
        .map(heading => [Number(heading.tagName[1]), heading.innerText.trim()])"""
    )
    levels = [level for level, _ in headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels)), headings
    assert all(text for _, text in headings)


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("img", "!part.hasAttribute('alt')"),
        (
            "svg",
            "!part.closest('[aria-hidden=true]') && !(part.getAttribute('role') && "
            "(part.getAttribute('aria-label') || text(part.getAttribute('aria-labelledby'))))",
        ),
        ("table", "!part.caption || !part.caption.textContent.trim() || !part.querySelector('th')"),
        ("th", "!['col', 'row', 'colgroup', 'rowgroup'].includes(part.getAttribute('scope'))"),
        ("[aria-labelledby]", "!text(part.getAttribute('aria-labelledby'))"),
        ("[id]", "document.querySelectorAll('#' + CSS.escape(part.id)).length > 1"),
    ],
    ids=["pictures", "drawings", "tables", "header cells", "labels elsewhere", "ids"],
)
def test_every_part_says_what_it_is(either: Opened, query: str, fault: str) -> None:
    script = """query => {
        const text = ids => (ids || "").split(" ")
            .map(id => document.getElementById(id)?.textContent || "").join("").trim();
        return [...document.querySelectorAll(query)].filter(part => FAULT)
            .map(part => part.outerHTML.slice(0, 200));
    }"""
    none(either.evaluate(script.replace("FAULT", fault), query))


def test_a_screen_reader_has_a_name_for_all_that_is_used_or_looked_at(either: Opened) -> None:
    parts = either.parts()
    named = {"Audio", "image", "img", "table", "link", "button", "DisclosureTriangle", "heading"}
    assert {"heading", "link", "table"} <= {part.role for part in parts}
    none([part for part in parts if part.role in named and not part.name.strip()])
    players = [part.name for part in parts if part.role == "Audio"]
    assert len(players) == either.evaluate("document.querySelectorAll('audio').length")
    assert len(set(players)) == len(players)
    assert sum(part.role == "main" for part in parts) == 1
    assert either.evaluate("document.documentElement.lang") == "en"


# --- reached by keyboard --------------------------------------------------------------------------

CONTROLS = """[...document.querySelectorAll("*")].flatMap((part, place) =>
    part.matches("a[href], button, summary, audio[controls], input, select, [tabindex='0']")
        && part.checkVisibility({visibilityProperty: true})
    ? [[place, part.outerHTML.slice(0, 120)]] : [])"""
"""What can be used, as its place in the page and its beginning."""

FOCUSED = """() => {
    const part = document.activeElement;
    if (!part || part === document.body || part === document.documentElement) return null;
    const style = getComputedStyle(part), box = part.getBoundingClientRect();
    return {
        place: [...document.querySelectorAll("*")].indexOf(part),
        tag: part.localName,
        target: part.getAttribute("href"),
        what: part.outerHTML.slice(0, 120),
        folded: part.localName === "summary" && !part.parentElement.open,
        seen: box.width > 1 && box.height > 1 && box.right > 0 && box.left < innerWidth
            && box.bottom > 0 && box.top < innerHeight,
        ringed: part.matches(":focus-visible") && (
            style.boxShadow !== "none"
            || (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0)),
    };
}"""
"""What has the keyboard's focus; null at the end of the page."""


def tab_through(page: Opened) -> list[dict[str, Any]]:
    """Press Tab from the top to the end, and Enter on all that is folded.

    Returns what had the focus, each once, in the order of the page.
    """
    stops: list[dict[str, Any]] = []
    for _ in range(1000):
        page.press("Tab")
        stop = page.evaluate(FOCUSED)
        if stop is None or (stops and stop["place"] < stops[-1]["place"]):
            return stops
        if not stops or stop["place"] != stops[-1]["place"]:  # a player has buttons of its own
            stops.append(stop)
        if stop["folded"]:
            page.press("Enter")
    raise AssertionError(f"Tab never reaches the end; it is at {stops[-1]['what']}")


def test_the_first_stop_of_tab_skips_to_the_content(fresh: Opened) -> None:
    fresh.press("Tab")
    first = fresh.evaluate(FOCUSED)
    assert first["tag"] == "a"
    assert first["target"].startswith("#")
    assert first["seen"]
    assert first["ringed"]
    fresh.press("Enter")
    assert fresh.evaluate("document.querySelector(':target').matches('main, main *')")
    fresh.press("Tab")
    assert fresh.evaluate("document.activeElement.matches('main *')")


def test_tab_reaches_and_shows_and_unfolds_everything_that_can_be_used(fresh: Opened) -> None:
    folded = "document.querySelectorAll('details:not([open])').length"
    assert fresh.evaluate(folded) > 0
    stops = tab_through(fresh)
    assert fresh.evaluate(folded) == 0
    controls = fresh.evaluate(CONTROLS)
    assert len(controls) > len(LENGTHS)
    reached = {stop["place"] for stop in stops}
    none([what for place, what in controls if place not in reached])
    none([stop["what"] for stop in stops if not stop["seen"]])
    # A player's own buttons show where the focus is, which no style of the page's tells.
    none([stop["what"] for stop in stops if stop["tag"] != "audio" and not stop["ringed"]])


# --- seen -----------------------------------------------------------------------------------------

CONTRASTS = """() => {
    const context = Object.assign(document.createElement("canvas"), {width: 1, height: 1})
        .getContext("2d", {willReadFrequently: true});
    const known = new Map();
    const parsed = colour => {  // any colour that CSS can write, as red, green, blue, alpha
        if (!known.has(colour)) {
            context.clearRect(0, 0, 1, 1);
            context.fillStyle = colour;
            context.fillRect(0, 0, 1, 1);
            const [red, green, blue, alpha] = context.getImageData(0, 0, 1, 1).data;
            known.set(colour, [red, green, blue, alpha / 255]);
        }
        return known.get(colour);
    };
    const over = ([r, g, b, alpha], below) =>
        [r, g, b].map((value, i) => value * alpha + below[i] * (1 - alpha));
    const luminance = colour => {  // WCAG 2.2, "relative luminance"
        const [r, g, b] = colour.map(value => value / 255)
            .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const probe = document.body.appendChild(document.createElement("div"));
    probe.style.backgroundColor = "Canvas";
    const canvas = parsed(getComputedStyle(probe).backgroundColor);
    probe.remove();
    const chain = part => part ? [part, ...chain(part.parentElement)] : [];
    const behind = part => {
        if (part instanceof SVGElement) {  // the shape that is drawn below the text, if any
            part.scrollIntoView({block: "center"});
            const box = part.getBoundingClientRect();
            const below = document.elementsFromPoint(
                box.x + box.width / 2, box.y + box.height / 2);
            const shape = below.find(other => other instanceof SVGGeometryElement
                && !["none", ""].includes(getComputedStyle(other).fill)
                && other.localName !== "line");
            const paper = behind(part.closest("svg").parentElement);
            return shape && !paper.picture
                ? {colour: over(parsed(getComputedStyle(shape).fill), paper.colour)} : paper;
        }
        const layers = chain(part).map(layer => getComputedStyle(layer));
        const opaque = layers.findIndex(style => parsed(style.backgroundColor)[3] === 1);
        const painted = opaque < 0 ? layers : layers.slice(0, opaque + 1);
        return {
            picture: painted.some(style => style.backgroundImage !== "none"),
            colour: painted.reduceRight(
                (below, style) => over(parsed(style.backgroundColor), below), canvas.slice(0, 3)),
        };
    };
    const hidden = part => !part.checkVisibility({opacityProperty: true, visibilityProperty: true})
        || chain(part).some(layer => {
            const box = layer.getBoundingClientRect();
            return !(layer instanceof SVGElement) && getComputedStyle(layer).overflow !== "visible"
                && (box.width <= 1 || box.height <= 1);
        });
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const measured = [];
    for (let text = texts.nextNode(); text; text = texts.nextNode()) {
        const part = text.parentElement;
        if (!text.data.trim() || part.closest("style, title, desc") || hidden(part)) continue;
        const style = getComputedStyle(part), {picture, colour} = behind(part);
        const [r, g, b, alpha] = parsed(part instanceof SVGElement ? style.fill : style.color);
        const opacity = chain(part)
            .reduce((product, layer) => product * getComputedStyle(layer).opacity, alpha);
        const [less, more] = [luminance(over([r, g, b, opacity], colour)), luminance(colour)]
            .sort((one, other) => one - other);
        const size = parseFloat(style.fontSize);
        const large = size >= 24 || (size >= 56 / 3 && style.fontWeight >= 700);
        measured.push({
            text: text.data.trim().slice(0, 60),
            ratio: picture ? 0 : (more + 0.05) / (less + 0.05),
            needed: large ? 3 : 4.5,
            behind: picture ? "a picture" : colour.map(Math.round).join(" "),
            paper: luminance(colour),
        });
    }
    return measured;
}"""
"""The contrast (WCAG 2.2, success criterion 1.4.3) of every text that is seen."""


def test_every_text_stands_out_from_the_paper_that_its_reader_prefers(page: Opened) -> None:
    texts = page.evaluate(CONTRASTS)
    assert len(texts) > 100
    none([text for text in texts if text["ratio"] < text["needed"]])
    paper = np.median([text["paper"] for text in texts])
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert paper < 0.1 if dark else paper > 0.7
