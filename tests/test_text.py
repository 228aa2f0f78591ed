"""What `speechtl.text` promises: the documented rules, and that twice is the same as once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechtl.errors import ConfigError
from speechtl.text import NORMALISERS, normaliser

# Signs whose rules meet one another, which arbitrary text seldom puts side by side.
TRICKY = st.text(st.sampled_from("aZ1\u0301 .,'\u2019\u00b4\u0149-\u2013\u00ad\u200d\u2026ßİ½_/"))


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


@given(st.text())
def test_none_changes_nothing(text: str) -> None:
    assert normaliser("none")(text) == text


@pytest.mark.parametrize("name", NORMALISERS)
@given(text=st.text() | TRICKY)
def test_normalising_twice_is_normalising_once(name: str, text: str) -> None:
    normalise = normaliser(name)
    assert normalise(normalise(text)) == normalise(text)


@given(st.lists(st.text("abcdefghij", min_size=1), min_size=1))
def test_plain_words_pass_unchanged(words: list[str]) -> None:
    assert normaliser("plain")(" ".join(words)) == " ".join(words)


def test_an_unknown_normaliser_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'plane'.*none, plain"):
        normaliser("plane")
