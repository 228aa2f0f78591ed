"""Read, check, resample and write recordings.

Everything else in speechtl sees one kind of audio: `Waveform`, float32 `(samples,)`, mono, 16 kHz,
about [-1, 1]. A recording that cannot become one is refused here with its path and with what to do.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator
from pathlib import Path

import librosa
import numpy as np
import numpy.typing as npt
import soundfile
import torch
import torchaudio.functional

from speechtl.errors import DataError, OutputError
from speechtl.files import replacing

__all__ = [
    "AUDIO_SUFFIXES",
    "SAMPLE_RATE",
    "Waveform",
    "duration",
    "read",
    "resample",
    "signal_to_noise_db",
    "trim_silence",
    "write",
]

Waveform = npt.NDArray[np.float32]

SAMPLE_RATE = 16_000  # Hz; what both families of pretrained recognisers were trained on
AUDIO_SUFFIXES = frozenset({".aif", ".aiff", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".wav"})

_END_TOLERANCE_S = 0.01  # manifests round times to hundredths of a second
# The shortest FLAC frame spends 14 bytes on at most 65 535 samples; every other codec spends more.
_MOST_FRAMES_PER_BYTE = 5_000
# An MP3's length is counted in blocks of 1152 samples, and its first and last ones may decode to
# nothing.
_MP3_SLACK_FRAMES = 2 * 1152
_OGG_PAGE_BYTES = 27 + 255 + 255 * 255  # header, segment table, segments at their longest
_OGG_HEADER_BYTES = 27
# libsndfile reads a cut-off WAV as a shorter whole one, and says so in its log alone.
_WAV_SHORTFALL = re.compile(r"^data : (\d+) \(should be (\d+)\)", re.MULTILINE)
# Programs that write to a pipe cannot know the size, and put in one of these or a little less.
_WAV_UNKNOWN_SIZE = 0x7FFF0000
# Above this the polyphase kernel of torchaudio (source rate times target rate, both divided by
# their common divisor) takes hundreds of MB; 44.1 kHz to 16 kHz is 441 * 160.
_LARGEST_KERNEL = 1_000_000

# Of `signal_to_noise_db`: frames of 25 ms every 10 ms, made of blocks of 5 ms.
_BLOCK, _FRAME, _HOP = 80, 5, 2  # samples, blocks, blocks
_FEWEST_FRAMES = 30
_HANGOVER = 10  # frames, 0.1 s
_SILENT = 1e-10  # mean square, -100 dB of full scale; the least step of 16 bits has -90
# The lowest tenth of frames holds less power than the mean of the noise: 0.88 of it in white noise,
# 0.65 in pink. Of 1 to 1.4, this had the least median error in both at 5 to 25 dB, on the starter
# corpus, other synthetic speech and real digits: 0.4 dB. WADA-SNR (Kim & Stern 2008) had 1.3 dB,
# two Gaussians of frame levels 1.4 dB, quantiles of each frequency 1.6 dB.
_NOISE_BIAS = 1.1


def read(path: Path, *, start: float | None = None, end: float | None = None) -> Waveform:
    """Return a recording, or a stretch of it, averaged over its channels and resampled to 16 kHz.

    Args:
        path: A file in any format that libsndfile decodes (WAV, FLAC, OGG, Opus, MP3, AIFF).
        start: Where the stretch begins, in seconds; `None` is the beginning. What lies before is
            not decoded into memory.
        end: Where the stretch ends, in seconds; `None` is the end. It may pass the end of the
            recording by 0.01 s, as rounded times do.

    Raises:
        DataError: The file is missing, a folder, empty, no audio, truncated, of zero length, holds
            values that are not finite, or `start` and `end` do not lie in it in this order.
    """
    with _opened(path) as sound:
        first, stop = _span(path, sound, start, end)
        sound.seek(first)
        frames: Waveform = sound.read(stop - first, dtype="float32", always_2d=True)
        rate, codec = int(sound.samplerate), str(sound.format)
    missing = stop - first - len(frames)
    if len(frames) == 0 or missing > (_MP3_SLACK_FRAMES if codec in {"MP3", "MPEG"} else 0):
        wanted = f"{len(frames)} of {stop - first} frames could be decoded"
        raise _truncated(path, wanted)
    if not np.isfinite(frames).all():
        raise DataError(
            f"{path}: holds {np.count_nonzero(~np.isfinite(frames))} NaN or infinite values;"
            " audio must be finite numbers: export it again, for instance as 16-bit WAV"
        )
    return resample(frames.mean(axis=1), source_rate=rate)


def duration(path: Path) -> float:
    """Return the length of a recording in seconds, as its header gives it.

    Raises:
        DataError: As for `read`, as far as it shows without decoding.
    """
    with _opened(path) as sound:
        return float(sound.frames / sound.samplerate)


def resample(waveform: Waveform, *, source_rate: int) -> Waveform:
    """Return a waveform `(samples,)` at 16 kHz, low-pass filtered first so that nothing aliases.

    The result has `ceil(samples * 16000 / source_rate)` samples. The filter is torchaudio's
    windowed sinc (six zero crossings, roll-off 0.99); for the rare rates that share no useful
    divisor with 16 kHz it is soxr's, because the sinc kernel would not fit in memory.

    Args:
        waveform: Float samples `(samples,)`.
        source_rate: The rate that it has, in Hz.

    Raises:
        ValueError: The waveform is not one-dimensional, or the rate is not positive.
    """
    _require_mono(waveform)
    if source_rate <= 0:
        raise ValueError(f"source_rate must be a positive number of Hz, got {source_rate}")
    waveform = np.array(waveform, dtype=np.float32)
    if source_rate == SAMPLE_RATE:
        return waveform
    common = math.gcd(source_rate, SAMPLE_RATE)
    if (source_rate // common) * (SAMPLE_RATE // common) > _LARGEST_KERNEL:
        resampled = librosa.resample(
            waveform, orig_sr=source_rate, target_sr=SAMPLE_RATE, res_type="soxr_hq"
        )
        return np.asarray(resampled, dtype=np.float32)
    tensor = torchaudio.functional.resample(torch.from_numpy(waveform), source_rate, SAMPLE_RATE)
    return np.asarray(tensor.numpy(), dtype=np.float32)


def trim_silence(waveform: Waveform, *, top_db: float) -> Waveform:
    """Return a waveform `(samples,)` without the quiet stretches at its two ends.

    Args:
        waveform: Float samples `(samples,)`.
        top_db: A frame (2048 samples, every 512) is quiet when it lies more than this many decibels
            below the loudest one; positive. A waveform of digital silence is returned whole.

    Raises:
        ValueError: The waveform is not one-dimensional, or `top_db` is not positive.
    """
    _require_mono(waveform)
    if not top_db > 0:
        raise ValueError(f"top_db must be a positive number of decibels, got {top_db}")
    trimmed, _ = librosa.effects.trim(waveform, top_db=top_db)
    return np.array(trimmed, dtype=np.float32)


def signal_to_noise_db(waveform: Waveform) -> float | None:
    """Return an estimate of an utterance's signal-to-noise ratio in dB, from -10 to 60.

    The noise is that of the quietest tenth of frames (25 ms every 10 ms), the speech what exceeds
    it in the frames that lie within 0.1 s of one with twice its power. Digital silence of 10 ms and
    more, such as a gate leaves between words, and a constant offset are taken out before.

    Measured on the starter corpus with noise added at 5 to 25 dB of its active speech level (ITU-T
    P.56), the median error is 0.2 dB in white and 0.5 dB in pink noise; at 0 dB it is 0.3 and
    1.8 dB. Noise that comes and goes is taken for less than it is: babble reads 7 dB too high at
    0 dB, 3 at 10 dB, 1 at 20 dB. Speech without a pause is taken for noise where it is quietest:
    with no noise at all it reads about 20 dB.

    Args:
        waveform: Float samples `(samples,)` at 16 kHz.

    Returns:
        The estimate; `None` for less than 30 frames (0.32 s), and for silence.

    Raises:
        ValueError: The waveform is not one-dimensional.
    """
    _require_mono(waveform)
    blocks = waveform[: len(waveform) // _BLOCK * _BLOCK].astype(np.float64).reshape(-1, _BLOCK)
    if len(blocks) < _FRAME:
        return None
    gated = np.convolve(~blocks.any(axis=1), np.ones(3), "same") > 0.5  # with what is cut in two
    blocks = blocks[~gated]
    if len(blocks) < _FRAME + (_FEWEST_FRAMES - 1) * _HOP:
        return None
    blocks -= blocks.mean()
    energy = np.einsum("bs,bs->b", blocks, blocks)
    powers = np.convolve(energy, np.ones(_FRAME), "valid")[::_HOP] / (_FRAME * _BLOCK)
    if powers.max() < _SILENT:
        return None
    tenth = len(powers) // 10
    noise = _NOISE_BIAS * float(np.partition(powers, tenth)[:tenth].mean())
    heard = np.convolve(powers > 2 * noise, np.ones(2 * _HANGOVER + 1), "same") > 0.5
    speech = float(powers[heard].mean()) - noise if heard.any() else 0.0
    if speech <= 0.1 * noise:
        return -10.0
    return 60.0 if noise <= 1e-6 * speech else 10 * math.log10(speech / noise)


def write(path: Path, waveform: Waveform) -> None:
    """Write a waveform as a 16-bit, 16 kHz, mono WAV or FLAC file, whole or not at all.

    Args:
        path: The file; its suffix, `.wav` or `.flac`, is its format.
        waveform: Float samples `(samples,)`; what exceeds [-1, 1] is clipped.

    Raises:
        OutputError: The suffix is another one, or the place cannot be written.
        ValueError: The waveform is not one-dimensional.
    """
    _require_mono(waveform)
    formats = {".wav": "WAV", ".flac": "FLAC"}
    if path.suffix.lower() not in formats:
        raise OutputError(f"{path}: audio is written as .wav or .flac, not {path.suffix!r}")
    kind = formats[path.suffix.lower()]
    with replacing(path, faults=(soundfile.LibsndfileError,)) as partial:
        soundfile.write(partial, waveform, SAMPLE_RATE, format=kind, subtype="PCM_16")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    """Lend an open recording that is whole and not empty; decoder errors become `DataError`."""
    try:
        size = _size(path)
        with soundfile.SoundFile(path) as sound:
            _require_whole(path, sound, size)
            yield sound
    except (soundfile.SoundFileError, TypeError, OSError) as error:
        # soundfile raises a TypeError for header-less ".raw" files.
        raise DataError(
            f"{path}: cannot be decoded ({error}); it must be whole audio of a known format"
            f" ({', '.join(sorted(AUDIO_SUFFIXES))}): copy the file again or convert it to WAV"
        ) from error


def _size(path: Path) -> int:
    """Return the size of a file in bytes, or refuse what is no file or empty."""
    if path.is_dir():
        raise DataError(f"{path}: is a folder; give the path of one recording")
    if not path.exists():
        raise DataError(
            f"{path}: no such file; check the path, which manifests give relative to themselves"
        )
    if not path.is_file():
        raise DataError(f"{path}: is a pipe or a device; give the path of one recording")
    size = path.stat().st_size
    if size == 0:
        raise DataError(f"{path}: is empty (0 bytes); copy the recording again")
    return size


def _require_whole(path: Path, sound: soundfile.SoundFile, size: int) -> None:
    """Refuse a container that holds no frames, or fewer bytes than its header promises."""
    shortfall = _WAV_SHORTFALL.search(sound.extra_info)
    if shortfall:
        claimed, present = (int(number) for number in shortfall.groups())
        if present < claimed < _WAV_UNKNOWN_SIZE:
            raise _truncated(path, f"{present} of {claimed} bytes of samples are there")
    if sound.format == "OGG" and not _ends_with_whole_ogg_page(path):
        raise _truncated(path, "its last Ogg page is incomplete")
    if sound.frames > _MOST_FRAMES_PER_BYTE * size:
        raise _truncated(path, f"{size} bytes cannot hold {sound.frames} frames")
    if sound.frames == 0:
        raise DataError(f"{path}: holds no samples (0 s); remove it or record it again")


def _ends_with_whole_ogg_page(path: Path) -> bool:
    """Return whether the last Ogg page has all the bytes that its table announces (RFC 3533)."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _OGG_PAGE_BYTES))
        tail = stream.read()
    page = tail[max(0, tail.rfind(b"OggS")) :]
    if len(page) < _OGG_HEADER_BYTES:
        return False
    segments = page[26]
    table = page[_OGG_HEADER_BYTES : _OGG_HEADER_BYTES + segments]
    return len(page) >= _OGG_HEADER_BYTES + segments + sum(table)


def _span(
    path: Path, sound: soundfile.SoundFile, start: float | None, end: float | None
) -> tuple[int, int]:
    """Return the first frame of a stretch and the frame after its last one."""
    rate, length = sound.samplerate, sound.frames / sound.samplerate
    begins = 0.0 if start is None else start
    stops = length if end is None else end
    if not 0 <= begins < stops <= length + _END_TOLERANCE_S:
        raise DataError(
            f"{path}: start {begins} s and end {stops} s must keep 0 <= start < end <="
            f" {length:.3f} s, the length of the recording: correct them in the manifest"
        )
    first = round(begins * rate)
    stop = min(round(stops * rate), sound.frames)
    if first >= stop:
        raise DataError(
            f"{path}: start {begins} s and end {stops} s hold no sample at {rate} Hz;"
            " correct them in the manifest"
        )
    return first, stop


def _truncated(path: Path, finding: str) -> DataError:
    return DataError(f"{path}: is truncated ({finding}); copy the recording again from its source")


def _require_mono(waveform: Waveform) -> None:
    if waveform.ndim != 1:
        raise ValueError(f"a waveform must have the shape (samples,), got {waveform.shape}")
