"""Each augmentation keeps the contract of all, and the promise of its own, which is measured."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechtl.audio import SAMPLE_RATE, Waveform
from speechtl.augment import (
    ALL,
    LIGHT,
    AdditiveNoise,
    Augmentation,
    Chain,
    Gain,
    PitchShift,
    RoomImpulseResponse,
    Sometimes,
    SpecAugment,
    SpeedPerturbation,
    TelephoneBand,
    TimeStretch,
    generator,
)
from speechtl.errors import ConfigError, DataError, SpeechtlError

every_augmentation = pytest.mark.parametrize(
    "augmentation", ALL, ids=lambda each: f"{type(each).__name__}-{ALL.index(each)}"
)


def rng(index: int = 0) -> np.random.Generator:
    return generator(1, copy=1, index=index)


def tone(frequency_hz: float, *, seconds: float = 1.0) -> Waveform:
    times_s = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    sine: Waveform = np.sin(2 * np.pi * frequency_hz * times_s).astype(np.float32)
    return sine * np.float32(0.5)


def speechlike(seconds: float = 1.0) -> Waveform:
    """Noise in syllables: loud and quiet by turns."""
    noise = generator(5, copy=0, index=0).standard_normal(
        round(seconds * SAMPLE_RATE), dtype=np.float32
    )
    times_s = np.arange(noise.size) / SAMPLE_RATE
    syllables: Waveform = (1 + np.sin(2 * np.pi * 4 * times_s)).astype(np.float32)
    return syllables * np.float32(0.1) * noise


def decibels(ratio_of_power: float) -> float:
    return 10 * math.log10(ratio_of_power)


def power(waveform: npt.NDArray[np.floating]) -> float:
    return float(np.mean(waveform.astype(np.float64) ** 2))


def loudest_hz(waveform: Waveform) -> float:
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(waveform.size), n=1 << 18))
    return float(spectrum.argmax() * SAMPLE_RATE / (1 << 18))


def recording(folder: Path, name: str, waveform: Waveform) -> Path:
    path = folder / name
    soundfile.write(path, waveform, SAMPLE_RATE, subtype="FLOAT")
    return path


# The contract of all


@every_augmentation
def test_the_same_rng_gives_the_same_waveform(augmentation: Augmentation) -> None:
    first = augmentation(speechlike(), SAMPLE_RATE, rng())
    again = augmentation(speechlike(), SAMPLE_RATE, rng())
    np.testing.assert_array_equal(first, again)


@every_augmentation
def test_global_randomness_is_neither_used_nor_moved(augmentation: Augmentation) -> None:
    # The legacy generators are what an augmentation must leave alone.
    before = np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[index]  # noqa: NPY002
    augmentation(speechlike(), SAMPLE_RATE, rng())
    after = np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[index]  # noqa: NPY002
    assert before == after


@pytest.mark.parametrize(
    "augmentation", [each for each in ALL if not isinstance(each, TelephoneBand)]
)
def test_another_index_gives_another_waveform(augmentation: Augmentation) -> None:
    results = [augmentation(speechlike(), SAMPLE_RATE, rng(index)) for index in range(8)]
    assert not all(np.array_equal(results[0], other) for other in results[1:])


@every_augmentation
def test_the_input_is_untouched_and_shares_no_memory(augmentation: Augmentation) -> None:
    given_waveform = speechlike()
    given_waveform.flags.writeable = False
    for index in range(6):
        result = augmentation(given_waveform, SAMPLE_RATE, rng(index))
        assert not np.shares_memory(result, given_waveform)
    np.testing.assert_array_equal(given_waveform, speechlike())


@every_augmentation
@pytest.mark.parametrize(
    "waveform",
    [
        pytest.param(speechlike(), id="a second"),
        pytest.param(speechlike()[:400], id="400 samples"),
        pytest.param(speechlike()[:1], id="one sample"),
        pytest.param(np.zeros(8_000, dtype=np.float32), id="silence"),
        pytest.param(np.full(8_000, 1e-30, dtype=np.float32), id="barely above silence"),
        pytest.param(speechlike().astype(np.float64), id="float64"),
        pytest.param(np.sign(speechlike()), id="full scale"),
    ],
)
def test_the_result_is_float32_finite_and_one_dimensional(
    augmentation: Augmentation, waveform: Waveform
) -> None:
    for index in range(3):
        result = augmentation(waveform, SAMPLE_RATE, rng(index))
        assert result.dtype == np.float32
        assert result.ndim == 1
        assert result.size >= 1
        assert np.isfinite(result).all()


@every_augmentation
def test_two_channels_are_refused_with_both_shapes_in_the_message(
    augmentation: Augmentation,
) -> None:
    with pytest.raises(DataError, match=r"shape \(samples,\).*got \(2, 400\)"):
        augmentation(np.zeros((2, 400), dtype=np.float32), SAMPLE_RATE, rng())


@every_augmentation
def test_no_samples_and_integers_are_refused(augmentation: Augmentation) -> None:
    with pytest.raises(DataError, match="at least one sample"):
        augmentation(np.zeros(0, dtype=np.float32), SAMPLE_RATE, rng())
    with pytest.raises(DataError, match=r"floating point.*int16"):
        augmentation(np.zeros(400, dtype=np.int16), SAMPLE_RATE, rng())


@pytest.mark.parametrize(
    "augmentation",
    [each for each in ALL if not isinstance(each, SpeedPerturbation | TimeStretch | Chain)],
)
def test_the_length_stays_unless_the_class_says_otherwise(augmentation: Augmentation) -> None:
    for samples in (400, 15_999, 16_000):
        result = augmentation(speechlike()[:samples], SAMPLE_RATE, rng())
        assert result.size == samples


@settings(deadline=None, max_examples=25)
@given(samples=st.integers(1, 5_000), index=st.integers(0, 1_000))
def test_the_light_chain_takes_any_length(samples: int, index: int) -> None:
    result = LIGHT(speechlike()[:samples], SAMPLE_RATE, rng(index))
    assert round(samples / 1.1) <= result.size <= round(samples / 0.9)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SpeedPerturbation(factors=()),
        lambda: SpeedPerturbation(factors=(1.0, 0.0)),
        lambda: SpeedPerturbation(factors=(math.nan,)),
        lambda: TimeStretch(minimum_rate=1.2, maximum_rate=1.1),
        lambda: PitchShift(maximum_semitones=13),
        lambda: AdditiveNoise(minimum_snr_db=21, maximum_snr_db=20),
        lambda: AdditiveNoise(maximum_snr_db=math.inf),
        lambda: AdditiveNoise(kind="brown"),  # type: ignore[arg-type]
        lambda: AdditiveNoise(kind="files"),
        lambda: AdditiveNoise(kind="babble", sources=(Path("a"), Path("b"), Path("c"))),
        lambda: AdditiveNoise(kind="babble", voices=2, sources=(Path("a"),) * 5),
        lambda: AdditiveNoise(kind="white", sources=(Path("a"),)),
        lambda: RoomImpulseResponse(minimum_reverberation_s=0.0),
        lambda: RoomImpulseResponse(minimum_direct_db=20.0),
        lambda: Gain(minimum_db=7.0),
        lambda: TelephoneBand(low_hz=3_400, high_hz=300),
        lambda: TelephoneBand(high_hz=7_000, mu_law=True),
        lambda: SpecAugment(time_masks=-1),
        lambda: SpecAugment(maximum_time_share=1.1),
        lambda: SpecAugment(channel_width_share=-0.1),
        lambda: Sometimes(augmentation=Gain(), probability=1.5),
        lambda: generator(-1, copy=0, index=0),
    ],
)
def test_impossible_values_are_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises(ConfigError, match="got"):
        make()


def test_each_copy_and_each_utterance_has_its_own_generator() -> None:
    draws = {
        generator(seed, copy=copy, index=index).random()
        for seed in range(3)
        for copy in range(3)
        for index in range(3)
    }
    assert len(draws) == 27
    expected = np.random.default_rng([7, 0, 1, 2]).random()
    assert generator(7, copy=1, index=2).random() == expected


# Speed and pitch


@pytest.mark.parametrize("factor", [0.9, 0.95, 1.1, 1.25])
def test_speed_moves_the_length_and_the_frequency_by_the_factor(factor: float) -> None:
    result = SpeedPerturbation(factors=(factor,))(tone(440), SAMPLE_RATE, rng())
    assert result.size == round(SAMPLE_RATE / factor)
    assert loudest_hz(result) == pytest.approx(440 * factor, rel=0.002)
    assert power(result) == pytest.approx(power(tone(440)), rel=0.02)


def test_speed_one_is_the_same_waveform_and_all_factors_are_drawn() -> None:
    np.testing.assert_array_equal(
        SpeedPerturbation(factors=(1.0,))(tone(440), SAMPLE_RATE, rng()), tone(440)
    )
    lengths = {SpeedPerturbation()(tone(440), SAMPLE_RATE, rng(index)).size for index in range(30)}
    assert lengths == {17_778, 16_000, 14_545}


@pytest.mark.parametrize("rate", [0.8, 1.25])
def test_time_stretch_moves_the_length_and_keeps_the_frequency(rate: float) -> None:
    result = TimeStretch(minimum_rate=rate, maximum_rate=rate)(tone(440), SAMPLE_RATE, rng())
    assert result.size == round(SAMPLE_RATE / rate)
    assert loudest_hz(result) == pytest.approx(440, rel=0.005)


@pytest.mark.parametrize("semitones", [-3.0, 2.0, 12.0])
def test_pitch_shift_moves_the_frequency_by_semitones(semitones: float) -> None:
    shift = PitchShift(minimum_semitones=semitones, maximum_semitones=semitones)
    result = shift(tone(440), SAMPLE_RATE, rng())
    assert loudest_hz(result) == pytest.approx(440 * 2 ** (semitones / 12), rel=0.005)


# Noise


def measured_snr_db(augmentation: AdditiveNoise, waveform: Waveform, index: int = 0) -> float:
    result = augmentation(waveform, SAMPLE_RATE, rng(index))
    return decibels(power(waveform) / power(result.astype(np.float64) - waveform))


@pytest.fixture
def voices(tmp_path: Path) -> tuple[Path, ...]:
    return tuple(
        recording(tmp_path, f"{frequency}.wav", tone(frequency, seconds=seconds) * level)
        for frequency, seconds, level in (
            (300, 0.3, np.float32(1.0)),
            (700, 0.5, np.float32(0.1)),
            (1_500, 3.0, np.float32(0.02)),
            (2_900, 2.0, np.float32(1.5)),
        )
    )


@pytest.mark.parametrize("snr_db", [-5.0, 5.0, 20.0])
@pytest.mark.parametrize("kind", ["white", "pink"])
def test_the_snr_of_synthetic_noise_is_exact(kind: str, snr_db: float) -> None:
    noise = AdditiveNoise(kind=kind, minimum_snr_db=snr_db, maximum_snr_db=snr_db)  # type: ignore[arg-type]
    assert measured_snr_db(noise, speechlike()) == pytest.approx(snr_db, abs=0.01)
    assert measured_snr_db(noise, speechlike() * 1e-20) == pytest.approx(snr_db, abs=0.01)


@pytest.mark.parametrize("kind", ["babble", "files"])
def test_the_snr_of_recorded_noise_is_exact(kind: str, voices: tuple[Path, ...]) -> None:
    noise = AdditiveNoise(kind=kind, minimum_snr_db=8, maximum_snr_db=8, sources=voices)  # type: ignore[arg-type]
    for index in range(5):
        assert measured_snr_db(noise, speechlike(), index) == pytest.approx(8, abs=0.01)


def test_drawn_snrs_fill_their_range() -> None:
    noise = AdditiveNoise(kind="white", minimum_snr_db=5, maximum_snr_db=20)
    drawn = [measured_snr_db(noise, speechlike(), index) for index in range(60)]
    assert 4.99 < min(drawn) < 7
    assert 18 < max(drawn) < 20.01


def octave_levels_db(noise: Waveform) -> list[float]:
    """The power spectral density in each octave from 62.5 Hz to 8 kHz, in decibels."""
    density = np.abs(np.fft.rfft(noise)) ** 2
    frequencies = np.fft.rfftfreq(noise.size, d=1 / SAMPLE_RATE)
    edges = [62.5 * 2**octave for octave in range(8)]
    return [
        decibels(float(density[(frequencies >= low) & (frequencies < high)].mean()))
        for low, high in pairwise(edges)
    ]


@pytest.mark.parametrize(("kind", "slope_db"), [("white", 0.0), ("pink", -3.01)])
def test_the_spectrum_slopes_as_its_colour_says(kind: str, slope_db: float) -> None:
    carrier = np.full(20 * SAMPLE_RATE, 1e-3, dtype=np.float32)
    noise = AdditiveNoise(kind=kind, minimum_snr_db=-40, maximum_snr_db=-40)  # type: ignore[arg-type]
    levels = octave_levels_db(noise(carrier, SAMPLE_RATE, rng()) - carrier)
    measured = float(np.polyfit(range(len(levels)), levels, deg=1)[0])
    assert measured == pytest.approx(slope_db, abs=0.15)


def test_babble_holds_all_voices_at_equal_level(voices: tuple[Path, ...]) -> None:
    speech = speechlike(2.0)
    babble = AdditiveNoise(kind="babble", minimum_snr_db=0, maximum_snr_db=0, sources=voices)
    noise = babble(speech, SAMPLE_RATE, rng()) - speech
    spectrum = np.abs(np.fft.rfft(noise * np.hanning(noise.size))) ** 2
    frequencies = np.fft.rfftfreq(noise.size, d=1 / SAMPLE_RATE)
    levels = [
        decibels(float(spectrum[np.abs(frequencies - frequency) < 50].sum()))
        for frequency in (300, 700, 1_500, 2_900)
    ]
    assert max(levels) - min(levels) < 1.0


def test_a_silent_stretch_of_noise_leaves_the_speech_alone(tmp_path: Path) -> None:
    mostly_silent = np.zeros(60 * SAMPLE_RATE, dtype=np.float32)
    mostly_silent[-1] = 0.5
    path = recording(tmp_path, "quiet.wav", mostly_silent)
    result = AdditiveNoise(kind="files", sources=(path,))(speechlike(), SAMPLE_RATE, rng())
    np.testing.assert_array_equal(result, speechlike())


def test_a_silent_or_missing_source_is_refused_by_name(tmp_path: Path) -> None:
    silent = recording(tmp_path, "silent.wav", np.zeros(800, dtype=np.float32))
    for path in (silent, tmp_path / "missing.wav"):
        with pytest.raises(DataError, match=path.name):
            AdditiveNoise(kind="files", sources=(path,))(speechlike(), SAMPLE_RATE, rng())
    with pytest.raises(DataError, match=r"silent\.wav"):
        RoomImpulseResponse(responses=(silent,))(speechlike(), SAMPLE_RATE, rng())


def test_recorded_noise_is_brought_to_the_rate_of_the_speech(tmp_path: Path) -> None:
    hum = recording(tmp_path, "hum.wav", tone(1_000, seconds=4))
    speech = np.full(8_000, 1e-6, dtype=np.float32)
    noise = AdditiveNoise(kind="files", minimum_snr_db=-60, maximum_snr_db=-60, sources=(hum,))
    result = noise(speech, 8_000, rng())
    # `loudest_hz` counts at 16 kHz, twice the rate of these samples.
    assert loudest_hz(result - speech) == pytest.approx(2_000, rel=0.002)


# Room, level, telephone


def reverberation_time_s(response: Waveform) -> float:
    """RT60 from a line through -5 to -25 dB of the Schroeder integral (ISO 3382-1, T20)."""
    tail = response[1:].astype(np.float64)
    remaining = np.cumsum(tail[::-1] ** 2)[::-1]
    levels_db = 10 * np.log10(remaining / remaining[0])
    places = np.flatnonzero((levels_db <= -5) & (levels_db >= -25))
    slope_db = np.polyfit(places / SAMPLE_RATE, levels_db[places], deg=1)[0]
    return float(-60 / slope_db)


@pytest.mark.parametrize("wanted_s", [0.15, 0.4, 1.0])
def test_the_synthetic_room_has_the_reverberation_time_that_was_asked_for(wanted_s: float) -> None:
    room = RoomImpulseResponse(minimum_reverberation_s=wanted_s, maximum_reverberation_s=wanted_s)
    measured = [reverberation_time_s(room.response(SAMPLE_RATE, rng(index))) for index in range(10)]
    assert np.mean(measured) == pytest.approx(wanted_s, rel=0.05)


def test_the_direct_sound_is_louder_than_the_reverberation_by_what_was_asked_for() -> None:
    response = RoomImpulseResponse(minimum_direct_db=6, maximum_direct_db=6).response(
        SAMPLE_RATE, rng()
    )
    assert response[0] == 1.0
    tail = response[1:].astype(np.float64)
    assert decibels(1 / float(tail @ tail)) == pytest.approx(6, abs=0.01)


def test_a_room_keeps_the_energy_and_the_place_of_a_click() -> None:
    click = np.zeros(SAMPLE_RATE, dtype=np.float32)
    click[3_000] = 0.8
    for index in range(5):
        result = RoomImpulseResponse()(click, SAMPLE_RATE, rng(index))
        assert int(np.abs(result).argmax()) == 3_000
        assert np.abs(result[:3_000]).max() < 1e-5
        assert power(result) == pytest.approx(power(click), rel=1e-4)


@pytest.mark.parametrize("rate", [SAMPLE_RATE, 8_000])
def test_a_recorded_room_starts_at_its_direct_sound(tmp_path: Path, rate: int) -> None:
    echo = np.zeros(2_000, dtype=np.float32)
    echo[500], echo[1_300] = -0.5, 0.25
    room = RoomImpulseResponse(responses=(recording(tmp_path, "echo.wav", echo),))
    response = room.response(rate, rng())
    assert response[0] == 1.0
    assert int(np.abs(response[50:]).argmax()) + 50 == 800 * rate // SAMPLE_RATE
    click = np.zeros(4_000, dtype=np.float32)
    click[1_000] = 0.5
    assert int(np.abs(room(click, rate, rng())).argmax()) == 1_000


@pytest.mark.parametrize("gain_db", [-10.0, -3.0, 6.0])
def test_gain_moves_the_level_by_its_decibels(gain_db: float) -> None:
    quiet = tone(440) * np.float32(0.5)
    result = Gain(minimum_db=gain_db, maximum_db=gain_db)(quiet, SAMPLE_RATE, rng())
    assert decibels(power(result) / power(quiet)) == pytest.approx(gain_db, abs=0.01)


def test_gain_stops_at_full_scale_without_clipping() -> None:
    result = Gain(minimum_db=40, maximum_db=40)(tone(440), SAMPLE_RATE, rng())
    assert np.abs(result).max() == pytest.approx(1.0, abs=1e-6)
    assert np.abs(result).max() <= 1.0
    # A clipped sine would be louder than a sine of the same peak.
    assert power(result) == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize(
    ("frequency_hz", "lowest_db", "highest_db"),
    [
        (60, -200, -60),
        (130, -200, -60),
        (300, -6.5, -5.5),
        (400, -0.1, 0.1),
        (1_000, -0.1, 0.1),
        (3_300, -0.1, 0.1),
        (3_400, -6.5, -5.5),
        (3_570, -200, -60),
        (6_000, -200, -60),
    ],
)
def test_the_telephone_leaves_its_band_and_nothing_else(
    frequency_hz: float, lowest_db: float, highest_db: float
) -> None:
    sine = tone(frequency_hz, seconds=2.0)
    result = TelephoneBand()(sine, SAMPLE_RATE, rng())
    # The ends of the sine are clicks, with all frequencies in them.
    inner = slice(4_000, -4_000)
    level_db = decibels(power(result[inner]) / power(sine[inner]))
    assert lowest_db <= level_db <= highest_db


def test_the_telephone_does_not_delay() -> None:
    click = np.zeros(SAMPLE_RATE, dtype=np.float32)
    click[3_000] = 0.8
    for telephone in (TelephoneBand(), TelephoneBand(mu_law=True)):
        assert int(np.abs(telephone(click, SAMPLE_RATE, rng())).argmax()) == 3_000


def test_mu_law_adds_the_noise_of_eight_bits_and_nothing_above_4_khz() -> None:
    sine = tone(1_000, seconds=2.0)
    plain = TelephoneBand()(sine, SAMPLE_RATE, rng())
    coded = TelephoneBand(mu_law=True)(sine, SAMPLE_RATE, rng())
    inner = slice(4_000, -4_000)
    # G.711 keeps speech levels 33 to 42 dB above its own noise.
    snr_db = decibels(power(plain[inner]) / power(coded[inner] - plain[inner]))
    assert 30 < snr_db < 45
    spectrum = np.abs(np.fft.rfft(coded[inner] * np.hanning(coded[inner].size))) ** 2
    frequencies = np.fft.rfftfreq(coded[inner].size, d=1 / SAMPLE_RATE)
    assert decibels(float(spectrum[frequencies > 4_200].sum() / spectrum.sum())) < -60


def test_a_band_beyond_the_sample_rate_is_refused() -> None:
    with pytest.raises(ConfigError, match="below half the sample rate, 3000 Hz"):
        TelephoneBand()(tone(440), 6_000, rng())


# Chains


def test_a_chain_applies_each_step_as_often_as_its_probability() -> None:
    mark = Gain(minimum_db=-20, maximum_db=-20)
    chain = Chain(steps=(Sometimes(augmentation=mark, probability=0.3),))
    changed = sum(
        not np.array_equal(chain(tone(440)[:400], SAMPLE_RATE, rng(index)), tone(440)[:400])
        for index in range(1_000)
    )
    assert 255 <= changed <= 345


def test_a_chain_keeps_the_order_and_certain_steps_are_certain() -> None:
    down, up = Gain(minimum_db=-6, maximum_db=-6), Gain(minimum_db=6, maximum_db=6)
    loud = tone(440) * np.float32(1.9)
    steps = (Sometimes(augmentation=up), Sometimes(augmentation=down))
    result = Chain(steps=steps)(loud, SAMPLE_RATE, rng())
    # First up to full scale, which limits, then down by the whole 6 dB.
    assert float(np.abs(result).max()) == pytest.approx(10 ** (-6 / 20), rel=1e-4)
    never = Chain(steps=(Sometimes(augmentation=down, probability=0.0),))
    np.testing.assert_array_equal(never(loud, SAMPLE_RATE, rng()), loud)
    np.testing.assert_array_equal(Chain()(loud, SAMPLE_RATE, rng()), loud)


# SpecAugment


def ones(lengths: list[int], *, channels: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.ones(len(lengths), max(lengths), channels), torch.tensor(lengths)


def masked_share(result: torch.Tensor, length: int) -> float:
    """The share of the first `length` frames in which all channels are zero."""
    return float((result[:length] == 0).all(dim=1).float().mean())


@settings(deadline=None, max_examples=50)
@given(
    lengths=st.lists(st.integers(1, 120), min_size=1, max_size=4),
    share=st.floats(0, 1),
    index=st.integers(0, 1_000),
)
def test_time_masks_never_cover_more_than_the_cap(
    lengths: list[int], share: float, index: int
) -> None:
    hidden, counts = ones(lengths)
    mask = SpecAugment(time_masks=5, maximum_time_share=share, channel_masks=0)
    result = mask(hidden, counts, rng(index))
    for row, length in enumerate(lengths):
        assert masked_share(result[row], length) <= share + 1e-6
        assert bool((result[row, length:] == 1).all())


def test_time_masks_cover_about_what_their_widths_say() -> None:
    # Two masks of 5 frames on average, of 500: 2 %, less what overlaps.
    mask = SpecAugment(time_masks=2, time_width_frames=10, channel_masks=0)
    hidden, counts = ones([500] * 200, channels=2)
    result = mask(hidden, counts, rng())
    shares = [masked_share(row, 500) for row in result]
    assert np.mean(shares) == pytest.approx(0.02, abs=0.003)
    assert len(set(shares)) > 5


def test_channel_masks_cover_whole_channels_of_the_utterance_and_not_its_padding() -> None:
    mask = SpecAugment(time_masks=0, channel_masks=1, channel_width_share=0.25)
    hidden, counts = ones([30, 50])
    result = mask(hidden, counts, rng(3))
    assert bool((result[0, 30:] == 1).all())
    zeros: list[npt.NDArray[np.bool_]] = [
        (result[0, :30] == 0).numpy(),
        (result[1] == 0).numpy(),
    ]
    for each in zeros:
        assert (each.all(axis=0) == each.any(axis=0)).all()
        assert each.any(axis=0).sum() <= 16
    assert any(each.any() for each in zeros)


def test_spec_augment_is_pure_repeatable_and_lets_gradients_through() -> None:
    hidden, counts = ones([100])
    hidden.requires_grad_()
    first = SpecAugment()(hidden, counts, rng())
    assert torch.equal(first, SpecAugment()(hidden, counts, rng()))
    assert bool((hidden == 1).all())
    first.sum().backward()
    assert hidden.grad is not None
    assert torch.equal(hidden.grad, first.detach())


def test_an_utterance_of_no_frames_is_left_alone() -> None:
    hidden, counts = torch.ones(1, 5, 3), torch.tensor([0])
    assert torch.equal(SpecAugment()(hidden, counts, rng()), hidden)


@pytest.mark.parametrize(
    ("hidden", "lengths", "message"),
    [
        (torch.ones(3, 4), torch.tensor([3]), r"\(batch, frames, channels\), got \(3, 4\)"),
        (torch.ones(2, 3, 4), torch.tensor([3]), r"\(batch,\) = \(2,\), got \(1,\)"),
        (torch.ones(2, 3, 4), torch.tensor([3, 4]), "within 0 to 3 frames, got 3 to 4"),
        (torch.ones(2, 3, 4), torch.tensor([-1, 3]), "got -1 to 3"),
    ],
)
def test_features_that_do_not_fit_their_lengths_are_refused(
    hidden: torch.Tensor, lengths: torch.Tensor, message: str
) -> None:
    with pytest.raises(SpeechtlError, match=message):
        SpecAugment()(hidden, lengths, rng())
