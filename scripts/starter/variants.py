"""Random espeak-ng voice variants, so that the base models meet more timbres than are shipped.

A *variant* changes the pitch range, the formants and the source of a voice; its accent stays
(espeak-ng's docs/voices.md, "Voice variants"). Ranges span those of the variants that come with
espeak-ng.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np

__all__ = ["NAMES", "write"]

NAMES = tuple(f"random{index:03d}" for index in range(100))


def write(directory: Path, seed: int) -> None:
    """Make `directory` a home for espeak-ng (ESPEAK_DATA_PATH) that has the variants too."""
    source = _installed()
    home = directory / "espeak-ng-data"
    variants = home / "voices" / "!v"
    variants.mkdir(parents=True, exist_ok=True)
    entries = [entry for entry in source.iterdir() if entry.name != "voices"]
    for entry in (*entries, *(source / "voices" / "!v").iterdir()):
        link = home / entry.relative_to(source)
        if not link.exists():
            link.symlink_to(entry)
    for index, name in enumerate(NAMES):
        (variants / name).write_text(_variant(name, np.random.default_rng([seed, 2, index])))


def _installed() -> Path:
    """Return the data folder that espeak-ng names in its version line."""
    line = subprocess.run(["espeak-ng", "--version"], capture_output=True, text=True, check=True)
    return Path(line.stdout.split("Data at:")[1].strip())


def _variant(name: str, rng: np.random.Generator) -> str:
    size = rng.uniform(0.92, 1.3)  # 1 is a grown man's vocal tract, 1.2 a woman's, 1.3 a child's
    # A shorter tract goes with a higher voice, loosely.
    pitch_hz = 95 * np.exp(2.6 * (size - 1) + rng.normal(0, 0.22))
    lines = [
        "language variant",
        f"name {name}",
        f"pitch {pitch_hz:.0f} {pitch_hz * rng.uniform(1.15, 1.6):.0f}",
        f"flutter {rng.integers(0, 10)}",
        f"roughness {rng.integers(0, 4)}",
    ]
    for formant in range(9):
        frequency = 100 * (size if 0 < formant < 6 else 1) * rng.uniform(0.93, 1.07)
        # The third formant and those above it are weak or strong by voice.
        strength = rng.uniform(75, 105) if formant < 2 else rng.uniform(45, 110)
        width = rng.uniform(75, 170)
        lines.append(f"formant {formant} {frequency:.0f} {strength:.0f} {width:.0f}")
    lines.append(f"consonants {rng.integers(55, 115)} {rng.integers(60, 110)}")
    if rng.random() < 0.6:
        lines.append(f"voicing {rng.integers(100, 240)}")
    if rng.random() < 0.25:
        lines.append(f"echo {rng.integers(40, 140)} {rng.integers(5, 18)}")
    if rng.random() < 0.4:
        tilt = rng.uniform(0.4, 1.1, 3)
        heights = (255, *(int(255 * t) for t in np.minimum.accumulate(tilt).clip(max=1)))
        points = zip((100, 600, 1600, 4000), heights, strict=True)
        lines.append("tone " + " ".join(f"{hz} {height}" for hz, height in points))
    return "\n".join(lines) + "\n"
