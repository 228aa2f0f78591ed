"""Named, versioned normalisers of transcripts.

One normaliser serves the references and the hypotheses of both systems, so that a difference in
error rate is never one of spelling. `none` returns the text as it is, `plain` keeps what is spoken
(`speechtl.text.plain`), `whisper-english` is Whisper's own normaliser of English
(`speechtl.text.whisper_english`), which brings transformers with it, and only when it is asked for.

`plain+scots` is `plain` and then an accent map, which rewrites the dialect's forms to the standard
ones (`speechtl.text.accent_maps`). A map is applied where it is named, and nowhere else.

Whoever changes what a normaliser or a map returns raises its version, which is what tells two
reports apart; a test holds the output of each version.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable

from speechtl.errors import ConfigError
from speechtl.text import accent_maps
from speechtl.text.accent_maps import ACCENT_MAPS, accent_map
from speechtl.text.plain import plain

__all__ = ["ACCENT_MAPS", "NORMALISERS", "Normaliser", "accent_map", "normaliser", "version"]

Normaliser = Callable[[str], str]

_VERSIONS = {"none": 1, "plain": 1, "whisper-english": 1}

NORMALISERS: tuple[str, ...] = tuple(_VERSIONS)


def normaliser(name: str) -> Normaliser:
    """Return the normaliser of this name, a function from a text to its normal form.

    Args:
        name: One of `NORMALISERS`, or `<normaliser>+<map>` with one of `ACCENT_MAPS`. `none` takes
            no map: a map rewrites words, and `none` makes out none.

    Raises:
        ConfigError: No normaliser, or no map, has this name.
    """
    base, map_name = _parts(name)
    normalise = _base(base)
    return normalise if map_name is None else accent_maps.mapped(normalise, map_name)


def version(name: str) -> str:
    """Return the version of the normaliser of this name: `1`, with a map `1+1`.

    Two texts were normalised alike where the name and the version are the same.

    Raises:
        ConfigError: No normaliser, or no map, has this name.
    """
    base, map_name = _parts(name)
    of_base = str(_VERSIONS[base])
    return of_base if map_name is None else f"{of_base}+{accent_maps.version(map_name)}"


def _parts(name: str) -> tuple[str, str | None]:
    """Return the names of the normaliser and of the map, if there is one; refuse unknown ones."""
    base, plus, map_name = name.partition("+")
    if base not in NORMALISERS or (plus and map_name not in ACCENT_MAPS):
        raise ConfigError(f"unknown normaliser {name!r}; {_nearest(name)}{_known()}")
    if plus and base == "none":
        raise ConfigError(
            f"normaliser {name!r}: a map rewrites words, and 'none' makes out none; take"
            f" 'plain+{map_name}'"
        )
    return base, map_name or None


def _nearest(name: str) -> str:
    names = [*NORMALISERS]
    names += [f"{base}+{map_name}" for base in NORMALISERS[1:] for map_name in ACCENT_MAPS]
    close = difflib.get_close_matches(name.casefold().replace("_", "-"), names, n=1)
    return f"did you mean {close[0]!r}? " if close else ""


def _known() -> str:
    return (
        f"the known ones are {', '.join(NORMALISERS)}; all but 'none' take an accent map"
        f" ('plain+{ACCENT_MAPS[0]}'): {', '.join(ACCENT_MAPS)}"
    )


def _base(name: str) -> Normaliser:
    if name == "none":
        return _none
    if name == "plain":
        return plain
    from speechtl.text import whisper_english  # noqa: PLC0415  (imports transformers)

    return whisper_english.load()


def _none(text: str) -> str:
    """Return the text as it is."""
    return text
