"""What can be wrong with transcripts, told from the text alone."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import chain

from speechtl.audio import AUDIO_SUFFIXES
from speechtl.corpus import Corpus, Utterance, sentence
from speechtl.faults import Fault

__all__ = ["transcript_faults"]

Place = Callable[[Utterance], str]

# Nothing can be wrong with such a text, placeholders aside, and almost all are such.
_ORDINARY = re.compile(r"[A-Za-z]+(?:(?:[,.?!;:]{0,3} |['-])[A-Za-z]+)*[,.?!;:]?")

_PLACEHOLDER = re.compile(
    r"None|(?i:n/?a|nan|null|nil|tbd|todo|unk|untranscribed|no transcript(?:ion)?"
    r"|#(?:n/a|ref!|value!|name\?|null!|div/0!))"
)
_LONGEST_PLACEHOLDER = len("no transcription")
_FILE_NAME = re.compile(
    r"\S+(?:" + "|".join(map(re.escape, sorted(AUDIO_SUFFIXES))) + r")", re.IGNORECASE
)
# Each part is bounded, or begins where the one before cannot go on: else a long text takes minutes.
_MARKUP = re.compile(
    r"<[^<>]{1,60}>|\[[^\[\]]{0,60}\]|\{[^{}]{0,60}\}|\(\([^()]{0,60}\)\)"  # tags and brackets
    r"|\(\s{0,3}(?:laugh|cough|pause|breath|noise|music|inaudible|unintelligible|unclear|sigh|sic"
    r"|indistinct|silence|crosstalk|applause)(?:s|es|ed|ing|ter)?\b[^()]{0,40}\)"
    r"|\((?:\.{1,5}|\d{1,3}(?:\.\d{1,3})?\s?s?)\)"  # pauses, as conversation analysis has them
    r"|\*[A-Za-z ]{1,30}\*|&(?:#\d{1,6}|[a-z]{2,8});|\bx{3,}\b|\+\+\w{1,20}\+\+|={2,}|\bhttps?://"
    r"|(?<![\w/])/(?:\?{1,3}|unintelligible|inaudible|[a-z]{1,10}(?:-[a-z0-9]{1,20}){1,4})/(?!\w)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d[\d.,:]*")
# UTF-8 read as Latin-1 or Windows-1252, also in lower case; Windows-1252 read as Latin-1; what
# replaces bytes that cannot be read; and what JSON and Python write for letters.
_GARBLED = re.compile(
    r"\ufffd|[\u00c2\u00c3][\u0080-\u00bf\u0152-\u0192\u2018-\u2122]"
    r"|\u00e3[\u00a1-\u00a9\u00ac-\u00b9\u00bc-\u00bf]|\u00e2[\u0080\u20ac]"
    r"|(?:[\u00d0\u00d1][\u0080-\u00bf\u0152-\u0192\u2018-\u2122]){2}"
    r"|[\x80-\x84\x86-\x9f]|[A-Za-z]\?[a-z]|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|\\[nrt](?![a-z])"
)
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0e-\x1f\x7f\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
)
_SPACES = re.compile(r"^\s|\s$|\s\s|[\t\n\r\x0b\x0c\x85\u00a0\u2028\u2029]")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")
_OTHER_SCRIPT = re.compile(r"[\u0370-\u03ff\u0400-\u052f]")  # Greek and Cyrillic
_LATIN_BESIDE = re.compile(
    rf"{_LATIN.pattern}{_OTHER_SCRIPT.pattern}|{_OTHER_SCRIPT.pattern}{_LATIN.pattern}"
)
# Those of a e o p c y x i j s d q w, and of capitals.
_LOOK_ALIKES = frozenset(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0501\u051b\u051d"
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0423\u0425\u0406\u0408\u0405"
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7\u03bf"
)
_FEWEST_REPEATED = 3  # of one speaker and one sentence: corpora record a sentence twice on purpose
_FEWEST_WORDS = 4  # of such a sentence: "yes" is said often
_FEWEST_SHOUTED = 3  # words of two letters and more: "BBC NEWS" and "A B C D" are written so
_SHOWN = 60  # characters of a text that a message gives
_BEFORE = 20  # of these, that stand before what was found
_EXAMPLES = 3


def transcript_faults(corpus: Corpus, place: Place) -> Iterator[Fault]:
    """Return what is wrong with the transcripts of a corpus, as far as the text tells.

    Kinds: text-no-words, text-placeholder, text-markup, text-digits, text-encoding, text-invisible,
    text-spaces, text-composition, text-letters, text-case, text-repeated.

    Args:
        corpus: Any.
        place: Where an utterance was read.
    """
    for utterance in corpus:
        if not _is_ordinary(utterance.text):
            for kind, message in _of_text(utterance):
                yield Fault(kind, place(utterance), message, utterance.id)
    yield from chain(_of_case(corpus, place), _repeated(corpus, place))


def _is_ordinary(text: str) -> bool:
    return (
        _ORDINARY.fullmatch(text) is not None
        and (len(text) > _LONGEST_PLACEHOLDER or _PLACEHOLDER.fullmatch(text) is None)
        and "xxx" not in text
        and "XXX" not in text
    )


def _of_text(utterance: Utterance) -> Iterator[tuple[str, str]]:
    text = utterance.text
    if not any(map(str.isalnum, text)):
        yield ("text-no-words", f"the transcript is {_excerpt(text)}")
    elif _is_placeholder(utterance):
        yield ("text-placeholder", f"the transcript is {_excerpt(text)}")
    else:
        if found := _MARKUP.search(text):
            yield ("text-markup", f"{found[0]!r} stands in {_excerpt(text, found)}")
        if found := _NUMBER.search(_GARBLED.sub(" ", _MARKUP.sub(" ", text))):
            yield ("text-digits", f"{found[0]!r} stands in {_excerpt(text)}")
    if found := _GARBLED.search(text):
        yield ("text-encoding", f"{found[0]!r} stands in {_excerpt(text, found)}")
    elif found := _INVISIBLE.search(text):
        told = f"the character {_named(found[0])} stands in {_excerpt(text, found)}"
        yield ("text-invisible", told)
    if found := _SPACES.search(text):
        yield ("text-spaces", f"{found[0]!r} stands in {_excerpt(text, found)}")
    if not text.isascii():
        yield from _of_letters(text)


def _is_placeholder(utterance: Utterance) -> bool:
    bare = utterance.text.strip()
    named = bare in {utterance.id, utterance.audio.stem}
    # A word may be the name of its recording: yes.wav.
    return (
        (named and not bare.isalpha() and any(map(str.isalpha, bare)) and " " not in bare)
        or _PLACEHOLDER.fullmatch(bare) is not None
        or _FILE_NAME.fullmatch(bare) is not None
    )


def _of_letters(text: str) -> Iterator[tuple[str, str]]:
    composed = unicodedata.normalize("NFC", text)
    if composed != text:
        first = next(
            (
                at
                for at, (one, other) in enumerate(zip(text, composed, strict=False))
                if one != other
            ),
            0,
        )
        around = text[max(0, first - _BEFORE) :][:_SHOWN]
        yield ("text-composition", f"separate characters stand in {around!a}")
    if found := _LATIN_BESIDE.search(text):
        both = " and ".join(map(_named, found[0]))
        yield ("text-letters", f"{both} stand together in {_excerpt(text, found)}")
    elif found := _OTHER_SCRIPT.search(text):
        # Words of another script are another language, unless all their letters look Latin.
        alike = _LOOK_ALIKES.issuperset(_OTHER_SCRIPT.findall(text))
        if alike and _LATIN.search(text):
            yield ("text-letters", f"{_named(found[0])} stands in {_excerpt(text, found)}")


def _excerpt(text: str, found: re.Match[str] | None = None) -> str:
    """Return the text as Python writes it, or what stands around a match where it is long."""
    if len(text) <= _SHOWN:
        return repr(text)
    first = 0 if found is None else max(0, found.start() - _BEFORE)
    before, behind = "…" if first else "", "…" if first + _SHOWN < len(text) else ""
    return repr(f"{before}{text[first : first + _SHOWN]}{behind}")


def _named(character: str) -> str:
    return f"U+{ord(character):04X} {unicodedata.name(character, '(a control character)')}"


def _of_case(corpus: Corpus, place: Place) -> Iterator[Fault]:
    """Return one fault for transcripts that are all capitals: a Whisper would learn to shout."""
    upper = [
        each
        for each in corpus
        if each.text.isupper()
        and sum(len(word) > 1 for word in each.text.split()) >= _FEWEST_SHOUTED
    ]
    if upper:
        first = upper[0]
        yield Fault(
            "text-case",
            place(first),
            f"{len(upper)} of {len(corpus)} transcripts are in capitals alone, such as "
            f"{first.text[:_SHOWN]!r}",
            first.id,
        )


def _repeated(corpus: Corpus, place: Place) -> Iterator[Fault]:
    """Return a fault for each sentence that one speaker says too often."""
    # Of equal texts alone, not of equal sentences: a copied transcript is equal to the letter.
    said: defaultdict[tuple[str, str], list[Utterance]] = defaultdict(list)
    for utterance in corpus:
        said[utterance.speaker, utterance.text].append(utterance)
    for (speaker, text), utterances in said.items():
        if len(utterances) < _FEWEST_REPEATED or len(sentence(text).split()) < _FEWEST_WORDS:
            continue
        others = ", ".join(each.id for each in utterances[1 : 1 + _EXAMPLES])
        yield Fault(
            "text-repeated",
            place(utterances[0]),
            f"speaker {speaker!r} says {text[:_SHOWN]!r} {len(utterances)} times: also {others}",
            utterances[0].id,
        )
