"""Read, check, resample and write recordings.

Everything else in speechtl sees one kind of audio: `Waveform`, float32 `(samples,)`, mono, 16 kHz,
about [-1, 1]. A recording that cannot become one is refused here with its path and with what to do.
"""

from __future__ import annotations

import contextlib
import math
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from speechtl.errors import DataError, OutputError
from speechtl.files import replacing

__all__ = [
    "AUDIO_SUFFIXES",
    "BLOCK_VALUES",
    "SAMPLE_RATE",
    "Recording",
    "Waveform",
    "duration",
    "opened",
    "read",
    "resample",
    "signal_to_noise_db",
    "write",
]

Waveform = npt.NDArray[np.float32]

SAMPLE_RATE = 16_000  # Hz; what both families of pretrained recognisers were trained on
AUDIO_SUFFIXES = frozenset({".aif", ".aiff", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".wav"})
BLOCK_VALUES = 4 * 2**20
"""Most values, frames times channels, that are decoded at once: 16 MB, 95 s of 44.1 kHz mono."""

_END_TOLERANCE_S = 0.01  # manifests round times to hundredths of a second
# The shortest FLAC frame spends 14 bytes on at most 65 535 samples; every other codec spends more.
_MOST_FRAMES_PER_BYTE = 5_000
# An MP3's length is counted in blocks of 1152 samples, and its first and last ones may decode to
# nothing.
_MP3_SLACK_FRAMES = 2 * 1152
# A block may use bits of up to nine blocks before it: libsndfile decodes them wrongly after a seek,
# which it also makes after each read. With four of them before, nothing was wrong at 8 to 48 kHz.
_MP3_LEAD_FRAMES = 10 * 1152
_OGG_PAGE_BYTES = 27 + 255 + 255 * 255  # header, segment table, segments at their longest
_OGG_HEADER_BYTES = 27
# Times full scale: floats that were written as 32-bit integers reach 2e9, and no sum of them holds.
_LOUDEST = 1e6
# The highest that converters have; below the lowest no vowel could be told from another.
_SAMPLE_RATES = (1000, 768_000)  # Hz
_MOST_CHANNELS = 64  # of the arrays of microphones that speech was recorded with
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


@dataclass(frozen=True, slots=True)
class Recording:
    """An open recording, of which stretches are decoded as they were recorded.

    Attributes:
        path: The file.
        sample_rate: Its own, in Hz.
        channels: How many it has.
        frames: Its length as its header gives it; a frame is one sample of each channel.
        container: libsndfile's name of the file's format, whatever its suffix says: WAV, FLAC, OGG.
    """

    path: Path
    sample_rate: int
    channels: int
    frames: int
    container: str
    _sound: soundfile.SoundFile

    def span(self, start: float | None, end: float | None) -> tuple[int, int]:
        """Return the first frame of a stretch and the frame after its last one.

        Raises:
            DataError: As for `read`, as far as it concerns `start` and `end`.
        """
        return _span(self, start, end)

    def blocks(
        self, first: int, stop: int, *, most: int = BLOCK_VALUES
    ) -> Iterator[npt.NDArray[np.float32]]:
        """Yield the frames of a stretch, each block `(frames, channels)` of at most `most` values.

        Memory is taken for what is there, not for what a header promises: a block may be followed
        by the error.

        Raises:
            DataError: There is less than the header promises, or it cannot be decoded.
        """
        mp3 = self.container in {"MP3", "MPEG"}
        wanted, size = stop - first, max(1, most // self.channels)
        found = lead = 0
        while found < wanted:
            if mp3 or not found:
                lead = min(first + found, _MP3_LEAD_FRAMES) if mp3 else 0
                self._sound.seek(first + found - lead)
            count = lead + min(size, wanted - found)
            frames = self._sound.read(count, dtype="float32", always_2d=True)[lead:]
            if len(frames) == 0:
                break
            found += len(frames)
            yield frames
        if found == 0 or wanted - found > (_MP3_SLACK_FRAMES if mp3 else 0):
            raise _truncated(self.path, f"{found} of {wanted} frames could be decoded")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Recording]:
    """Lend an open recording that is whole, as far as its container tells, and not empty.

    Raises:
        DataError: As for `read`; also from within the block, for what the decoder meets there.
    """
    size = _size(path)
    with contextlib.ExitStack() as stack:
        try:
            sound = stack.enter_context(soundfile.SoundFile(path))
            _require_whole(path, sound, size)
            _require_sensible(path, sound)
        except (soundfile.SoundFileError, TypeError, OSError) as error:
            # soundfile raises a TypeError for header-less ".raw" files.
            raise _undecodable(path, error) from error
        try:
            yield Recording(
                path, int(sound.samplerate), sound.channels, sound.frames, sound.format, sound
            )
        except soundfile.SoundFileError as error:
            raise _undecodable(path, error) from error


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
            values that are not finite, or `start` and `end` do not lie in it in this order. Its
            `kind` names which, as `speechtl.faults` does.
    """
    parts, wrong, loudest = [], 0, 0.0
    with opened(path) as recording:
        for frames in recording.blocks(*recording.span(start, end)):
            peak = max(-float(frames.min()), float(frames.max()))
            if peak < _LOUDEST:  # nor is NaN
                parts.append(frames.mean(axis=1))
            else:
                wrong += int(np.count_nonzero(~np.isfinite(frames)))
                loudest = max(loudest, peak)
    if wrong or loudest:
        finding = f"holds {wrong} NaN or infinite values"
        if not wrong:
            finding = f"holds values up to {loudest:.3g}; full scale is 1"
        remedy = "audio must be finite numbers: export it again, for instance as 16-bit WAV"
        raise _refused(path, "audio-not-finite", finding, remedy)
    mono = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return resample(mono, source_rate=recording.sample_rate)


def duration(path: Path) -> float:
    """Return the length of a recording in seconds, as its header gives it.

    Raises:
        DataError: As for `read`, as far as it shows without decoding.
    """
    with opened(path) as recording:
        return recording.frames / recording.sample_rate


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
        import librosa  # noqa: PLC0415  (only for rare rates)

        resampled = librosa.resample(
            waveform, orig_sr=source_rate, target_sr=SAMPLE_RATE, res_type="soxr_hq"
        )
        return np.asarray(resampled, dtype=np.float32)
    import torch  # noqa: PLC0415  (takes seconds, which a check of a manifest does not need)
    from torchaudio.functional import resample as sinc_resample  # noqa: PLC0415

    tensor = sinc_resample(torch.from_numpy(waveform), source_rate, SAMPLE_RATE)
    return np.asarray(tensor.numpy(), dtype=np.float32)


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
    blocks = waveform[: len(waveform) // _BLOCK * _BLOCK].reshape(-1, _BLOCK)
    if len(blocks) < _FRAME:
        return None
    # Two samples of a block tell of most that it is not silent.
    silent = (blocks[:, 0] == 0) & (blocks[:, _BLOCK // 2] == 0)
    if silent.any():
        silent[silent] = ~blocks[silent].any(axis=1)
        blocks = blocks[np.convolve(silent, np.ones(3), "same") < 0.5]  # with what is cut in two
    if len(blocks) < _FRAME + (_FEWEST_FRAMES - 1) * _HOP:
        return None
    blocks = blocks - blocks.sum() / np.float32(blocks.size)
    energy = np.einsum("bs,bs->b", blocks, blocks).astype(np.float64)
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


def _size(path: Path) -> int:
    """Return the size of a file in bytes, or refuse what is no file or empty."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        remedy = "check the path, which manifests give relative to themselves"
        raise _refused(path, "audio-missing", "no such file", remedy) from error
    except (OSError, ValueError) as error:  # a name that is too long, a folder that is not ours
        finding = f"is no usable path ({getattr(error, 'strerror', None) or error})"
        raise _refused(path, "audio-path", finding, "give the path of one recording") from error
    if not stat.S_ISREG(status.st_mode):
        finding = "is a folder" if stat.S_ISDIR(status.st_mode) else "is a pipe or a device"
        raise _refused(path, "audio-path", finding, "give the path of one recording")
    if status.st_size == 0:
        raise _refused(path, "audio-empty", "is empty (0 bytes)", "copy the recording again")
    return status.st_size


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
        raise _refused(
            path, "audio-empty", "holds no samples (0 s)", "remove it or record it again"
        )


def _require_sensible(path: Path, sound: soundfile.SoundFile) -> None:
    """Refuse a header that is damaged: what it says would take memory without end."""
    least, most = _SAMPLE_RATES
    if not least <= sound.samplerate <= most:
        finding = f"says that its sample rate is {sound.samplerate} Hz"
        remedy = f"it must be {least} to {most} Hz: export the recording again"
        raise _refused(path, "audio-unreadable", finding, remedy)
    if sound.channels > _MOST_CHANNELS:
        finding = f"says that it has {sound.channels} channels"
        remedy = f"it may have {_MOST_CHANNELS}: export the recording again"
        raise _refused(path, "audio-unreadable", finding, remedy)


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


def _span(recording: Recording, start: float | None, end: float | None) -> tuple[int, int]:
    rate, length = recording.sample_rate, recording.frames / recording.sample_rate
    begins = 0.0 if start is None else start
    stops = length if end is None else end
    if not 0 <= begins < stops <= length + _END_TOLERANCE_S:
        raise DataError(
            f"{recording.path}: start {begins} s and end {stops} s must keep 0 <= start < end <="
            f" {length:.3f} s, the length of the recording: correct them in the manifest",
            kind="audio-times",
            finding=f"start {begins} s and end {stops} s, but the recording has {length:.3f} s",
        )
    first = round(begins * rate)
    stop = min(round(stops * rate), recording.frames)
    if first >= stop:
        finding = f"start {begins} s and end {stops} s hold no sample at {rate} Hz"
        raise _refused(recording.path, "audio-times", finding, "correct them in the manifest")
    return first, stop


def _refused(path: Path, kind: str, finding: str, remedy: str) -> DataError:
    return DataError(f"{path}: {finding}; {remedy}", kind=kind, finding=finding)


def _truncated(path: Path, finding: str) -> DataError:
    return _refused(
        path,
        "audio-truncated",
        f"is truncated ({finding})",
        "copy the recording again from its source",
    )


def _undecodable(path: Path, error: Exception) -> DataError:
    return _refused(
        path,
        "audio-unreadable",
        f"cannot be decoded ({error})",
        f"it must be whole audio of a known format ({', '.join(sorted(AUDIO_SUFFIXES))}):"
        " copy the file again or convert it to WAV",
    )


def _require_mono(waveform: Waveform) -> None:
    if waveform.ndim != 1:
        raise ValueError(f"a waveform must have the shape (samples,), got {waveform.shape}")
