"""Features on disk: read back as they were, whole or not there, and bounded in size."""

from __future__ import annotations

import errno
import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from speechtl.errors import OutputError
from speechtl.features import FeatureCache, Recipe, Shelf, Usage, cache, default_folder, software
from speechtl.models import SpeechModel
from speechtl.transcription import plain_recipe

EXACT = Recipe(model="tiny", revision="1", cut="head", device="cpu")
HALF = replace(EXACT, half=True)
STATM = Path("/proc/self/statm")


def feature(frames: int, channels: int = 8, *, seed: int = 0) -> Tensor:
    """Return numbers between 0.01 and 100, of both signs, that 16 bits cannot hold exactly."""
    generator = torch.Generator().manual_seed(seed)
    powers = 4 * torch.rand(frames, channels, generator=generator) - 2
    signs = torch.randint(2, (frames, channels), generator=generator) * 2 - 1
    return signs * 10**powers


def write(shelf: Shelf, features: Mapping[str, Tensor]) -> None:
    """Put features on a shelf; of each all frames but one hold speech, with 100 samples a frame."""
    with shelf.writing() as writer:
        for key, hidden in features.items():
            writer.add(key, hidden, speech=len(hidden) - 1, samples=100 * len(hidden))


def whole(shelf: Shelf, key: str) -> Tensor:
    """Return one feature as it is read, without padding."""
    return shelf.read([key])[0][0]


def packs(shelf: Shelf) -> list[Path]:
    """Return a shelf's packs, the oldest first."""
    return sorted(shelf.folder.glob("*.pack"), key=lambda path: path.stat().st_mtime_ns)


def size_of(shelf: Shelf) -> int:
    return sum(path.stat().st_size for path in shelf.folder.iterdir())


# --- what is read ---------------------------------------------------------------------------------


def test_what_is_written_is_read_back_bit_for_bit(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf", EXACT)
    long, short = feature(7, seed=1), feature(3, seed=2)
    write(shelf, {"long": long, "short": short})
    hidden, speech, frames = shelf.read(["short", "long"])
    assert (hidden.dtype, hidden.shape) == (torch.float32, (2, 7, 8))
    assert torch.equal(hidden[0, :3], short)
    assert torch.equal(hidden[1], long)
    assert not hidden[0, 3:].any()
    assert speech.tolist() == [2, 6]
    assert frames.tolist() == [3, 7]
    assert (shelf.samples("short"), shelf.samples("long")) == (300, 700)


def test_with_16_bits_it_is_read_back_to_half_a_thousandth_and_takes_half_the_room(
    tmp_path: Path,
) -> None:
    written = feature(500, seed=3)
    exact, half = Shelf(tmp_path / "exact", EXACT), Shelf(tmp_path / "half", HALF)
    for shelf in (exact, half):
        write(shelf, {"one": written})
    read = whole(half, "one")
    assert read.dtype == torch.float32
    assert 0 < ((read - written) / written).abs().max() <= 2**-11
    assert packs(half)[0].stat().st_size <= 0.51 * packs(exact)[0].stat().st_size


@pytest.mark.parametrize("loud", [65_520.0, -70_000.3, 1e30, float("inf"), -float("inf")])
def test_what_16_bits_cannot_hold_is_kept_exactly_and_the_others_beside_it_are_not_touched(
    loud: float, tmp_path: Path
) -> None:
    quiet, above = feature(4, seed=1), feature(5, seed=2)
    above[2, 3] = loud
    shelf = Shelf(tmp_path / "shelf", HALF)
    write(shelf, {"quiet": quiet, "above": above, "after": quiet})
    assert torch.equal(whole(shelf, "above"), above)
    for key in ("quiet", "after"):
        assert torch.equal(whole(shelf, key), quiet.half().float())


def test_the_loudest_that_16_bits_hold_is_kept_in_them(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf", HALF)
    write(shelf, {"one": torch.full((1, 8), 65_504.0)})
    assert whole(shelf, "one").tolist() == [[65_504.0] * 8]
    assert packs(shelf)[0].stat().st_size < 8 * 4 + 150


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(1, 9), st.randoms())
def test_features_of_any_shape_are_read_back_in_any_order_from_any_number_of_packs(
    lengths: list[int], channels: int, random: Any
) -> None:
    written = {f"{i}": feature(n, channels, seed=i) for i, n in enumerate(lengths)}
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "_PACK_BYTES", random.randint(1, 2000))
        write(Shelf(Path(folder), EXACT), written)
        shelf, keys = Shelf(Path(folder), EXACT), list(written)
        random.shuffle(keys)
        hidden, _, frames = shelf.read(keys)
    for row, key in enumerate(keys):
        assert torch.equal(hidden[row, : frames[row]], written[key])
        assert not hidden[row, frames[row] :].any()


def test_what_fills_a_pack_goes_on_in_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_PACK_BYTES", 640)
    shelf = Shelf(tmp_path / "shelf", EXACT)
    written = {f"{i}": feature(10, seed=i) for i in range(5)}  # 320 bytes each
    write(shelf, written)
    assert len(packs(shelf)) == 3
    assert all(torch.equal(whole(shelf, key), written[key]) for key in written)
    assert torch.equal(shelf.read(list(written))[0], torch.stack(list(written.values())))


def test_a_shelf_sees_what_another_one_put_there_once_it_looks_again(tmp_path: Path) -> None:
    first, second = Shelf(tmp_path / "shelf", EXACT), Shelf(tmp_path / "shelf", EXACT)
    write(first, {"one": feature(3, seed=1)})
    assert "one" in first
    assert "one" not in second
    second.refresh()
    assert "one" in second
    write(second, {"two": feature(2, seed=2)})
    assert torch.equal(whole(second, "one"), feature(3, seed=1))
    assert "two" in Shelf(tmp_path / "shelf", EXACT)
    assert "two" not in first
    assert 2 not in second


def test_what_was_put_there_twice_is_there(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf", EXACT)
    for _ in range(2):
        write(shelf, {"one": feature(3)})
    assert torch.equal(whole(Shelf(tmp_path / "shelf", EXACT), "one"), feature(3))


def test_nothing_written_leaves_no_pack(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf", EXACT)
    write(shelf, {})
    assert not packs(shelf)


@pytest.mark.skipif(not STATM.exists(), reason="Linux says there what memory a process has")
def test_reading_a_large_shelf_does_not_fill_the_memory(tmp_path: Path) -> None:
    def resident_mb() -> float:
        return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    one = feature(512, 512)  # 1 MiB
    write(Shelf(tmp_path / "shelf", EXACT), {f"{i}": one + i for i in range(200)})
    shelf = Shelf(tmp_path / "shelf", EXACT)
    shelf.read(["0", "1", "2", "3"])
    before, most = resident_mb(), 0.0
    for _ in range(2):  # epochs
        for first in range(0, 200, 4):
            hidden, _, _ = shelf.read([f"{i}" for i in range(first, first + 4)])
            most = max(most, resident_mb())
            assert torch.equal(hidden[3], one + (first + 3))
    assert most - before < 64
    FeatureCache(tmp_path, limit_bytes=1).clear()  # pytest keeps what tests leave


# --- what is broken -------------------------------------------------------------------------------

_WRITER = """
import sys, time, torch
from pathlib import Path
from speechtl.features import Recipe, Shelf, cache
cache._PACK_BYTES = 640
recipe = Recipe(
    model="tiny", revision="1", cut="head", device="cpu"
)
shelf = Shelf(Path(sys.argv[1]), recipe)
with shelf.writing() as writer:
    for i in range(5):
        writer.add(str(i), torch.full((10, 8), float(i)), speech=10, samples=1000)
    writer._file.flush()
    print("written", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise there")
def test_what_a_killed_process_had_finished_is_there_and_the_next_one_clears_up(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "shelf"
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(folder)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    [left] = folder.glob("*.part")
    assert left.stat().st_size >= 320
    shelf = Shelf(folder, EXACT)
    assert [key for key in "01234" if key in shelf] == list("0123")
    assert whole(shelf, "3").tolist() == [[3.0] * 8] * 10
    write(shelf, {"4": feature(10, seed=4)})  # the lock died with its holder
    assert not list(folder.glob("*.part"))
    assert torch.equal(whole(shelf, "4"), feature(10, seed=4))
    assert whole(shelf, "0").tolist() == [[0.0] * 8] * 10


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def cut_off(path: Path) -> None:
    os.truncate(path, 100)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def overwritten(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-32] + bytes(32))


def lengthened(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def halved(path: Path) -> None:
    """Leave a hole where the features were, as a file system may after a crash."""
    content = path.read_bytes()
    path.write_bytes(content[len(content) // 2 :])


@pytest.mark.parametrize(
    "damage", [cut_short, cut_off, emptied, overwritten, lengthened, halved, Path.unlink]
)
def test_a_broken_pack_is_as_if_it_were_not_there_and_the_others_are_read(
    damage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_PACK_BYTES", 640)
    written = {f"{i}": feature(10, seed=i) for i in range(6)}
    write(Shelf(tmp_path / "shelf", EXACT), written)
    _, second, _ = packs(Shelf(tmp_path / "shelf", EXACT))
    damage(second)
    shelf = Shelf(tmp_path / "shelf", EXACT)
    assert [key for key in written if key in shelf] == ["0", "1", "4", "5"]
    write(shelf, {key: written[key] for key in ("2", "3")})
    for each in (shelf, Shelf(tmp_path / "shelf", EXACT)):
        assert all(torch.equal(whole(each, key), written[key]) for key in written)


def test_a_fault_while_it_is_filled_reaches_the_caller_and_keeps_what_was_added(
    tmp_path: Path,
) -> None:
    def fill() -> None:
        with shelf.writing() as writer:
            writer.add("one", feature(3), speech=3, samples=3)
            raise ValueError("no such room")

    shelf = Shelf(tmp_path / "shelf", EXACT)
    with pytest.raises(ValueError, match="no such room"):
        fill()
    assert torch.equal(whole(shelf, "one"), feature(3))
    assert not list(shelf.folder.glob("*.part"))


def test_ctrl_c_in_the_middle_of_a_feature_leaves_those_before_it(tmp_path: Path) -> None:
    def fill() -> None:
        with shelf.writing() as writer:
            for key in ("one", "two"):
                writer.add(key, feature(3), speech=3, samples=3)
            assert writer._file is not None
            writer._file.write(b"the beginning of a third")
            raise KeyboardInterrupt

    shelf = Shelf(tmp_path / "shelf", EXACT)
    with pytest.raises(KeyboardInterrupt):
        fill()
    for each in (shelf, Shelf(tmp_path / "shelf", EXACT)):
        assert torch.equal(each.read(["one", "two"])[0], torch.stack([feature(3)] * 2))


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes in a block, as on a disk that is full."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.skipif(os.name == "nt", reason="no limit can be set there")
@pytest.mark.parametrize(
    "limit",
    [
        100_000,
        2**20 - 1,
        2**20 + 10,
        2**20 + 70,
    ],
)
def test_a_disk_that_is_full_is_one_clear_error_wherever_it_fills_up(
    limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a feature, at its end, in the table, and in the trailer."""
    monkeypatch.setattr(cache, "_PACK_BYTES", 2**20)
    small, large = feature(3, 512), feature(512, 512)  # 1 MiB
    shelf = Shelf(tmp_path / "shelf", EXACT)
    write(shelf, {"small": small})
    with (
        files_of_at_most(limit),
        pytest.raises(OutputError, match=r"shelf: features cannot be .*--no-feature-cache"),
    ):
        write(shelf, {"large": large})
    assert "large" not in shelf
    assert torch.equal(whole(shelf, "small"), small)
    write(shelf, {"large": large})
    assert torch.equal(whole(shelf, "large"), large)
    assert not list(shelf.folder.glob("*.part"))


def test_ctrl_c_while_a_pack_is_finished_leaves_those_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cache, "_PACK_BYTES", 1)
    shelf = Shelf(tmp_path / "shelf", EXACT)
    write(shelf, {"one": feature(3)})
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write(shelf, {"two": feature(3)})
    assert "one" in shelf
    write(shelf, {"two": feature(3)})
    assert "two" in shelf


def test_a_fault_of_the_system_s_that_has_nothing_to_do_with_the_cache_is_not_put_down_to_it(
    tmp_path: Path,
) -> None:
    shelf = Shelf(tmp_path / "shelf", EXACT)
    with pytest.raises(BrokenPipeError), shelf.writing():
        raise BrokenPipeError(errno.EPIPE, "the terminal that shows progress is gone")


def test_a_place_that_cannot_be_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    shelf = Shelf(tmp_path / "file" / "shelf", EXACT)
    with pytest.raises(OutputError, match=r"features cannot be written .*SPEECHTL_CACHE"):
        write(shelf, {"one": feature(3)})


def test_only_one_writes_at_a_time_and_the_next_sees_what_it_wrote(tmp_path: Path) -> None:
    first, second = Shelf(tmp_path / "shelf", EXACT), Shelf(tmp_path / "shelf", EXACT)
    entered, seen = threading.Event(), []

    def wait() -> None:
        with second.writing():
            entered.set()
            seen.append("one" in second)

    waiting = threading.Thread(target=wait)
    with first.writing() as writer:
        waiting.start()
        writer.add("one", feature(3), speech=3, samples=3)
        assert not entered.wait(0.3)
    waiting.join()
    assert seen == [True]


# --- recipes --------------------------------------------------------------------------------------

OTHERWISE: dict[str, Any] = {
    "revision": "2", "cut": "encoder.1", "device": "cuda", "software": "other",
    "augmentation": "Gain()", "seed": 0, "precision": "bf16", "frames": "speech", "half": True,
}  # fmt: skip


def test_every_field_of_a_recipe_but_the_model_s_name_makes_another_shelf() -> None:
    assert OTHERWISE.keys() == {field.name for field in fields(Recipe)} - {"model"}
    changed = [replace(EXACT, **{name: value}) for name, value in OTHERWISE.items()]
    digests = {recipe.digest() for recipe in (EXACT, replace(EXACT, seed=1), *changed)}
    assert len(digests) == 11
    assert all(len(digest) == 32 and set(digest) <= set("0123456789abcdef") for digest in digests)
    assert replace(EXACT, model="another name").digest() == EXACT.digest()


def test_the_recipe_of_a_model_names_its_device_and_the_libraries_that_compute(
    ctc: SpeechModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = plain_recipe(ctc, "head")
    assert (here.model, here.revision, here.cut) == (ctc.name, ctc.revision, "head")
    assert here.device == "cpu"
    assert here.software == software()
    for name in ("torch", "transformers", "numpy", "scipy", "soxr"):
        assert f"{name} {importlib.metadata.version(name)}, " in here.software
    elsewhere: Any = SimpleNamespace(
        name=ctc.name,
        revision=ctc.revision,
        network=SimpleNamespace(device=torch.device("cuda", 1)),
    )
    assert plain_recipe(elsewhere, "head") == replace(here, device="cuda")


def test_features_are_of_the_code_that_computed_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clone that is brought up to date has the same version and other code."""
    package = tmp_path / "speechtl"
    for name in ("augment/noise.py", "models/ctc.py", "features/source.py", "report/html.py"):
        (package / name).parent.mkdir(parents=True)
        (package / name).write_text("old")
    monkeypatch.setattr(cache, "_PACKAGE", package)
    anew = software.__wrapped__
    found = {anew()}
    for name in ("augment/noise.py", "models/ctc.py", "features/source.py"):
        (package / name).write_text("new")
        found.add(anew())
    assert len(found) == 4
    (package / "report/html.py").write_text("new")
    assert anew() in found


def test_another_format_makes_another_shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    before = EXACT.digest()
    monkeypatch.setattr(cache, "_FORMAT", cache._FORMAT + 1)
    assert EXACT.digest() != before


# --- the cache as a whole -------------------------------------------------------------------------


def shelves(folder: Path, *names: str) -> tuple[FeatureCache, dict[str, Shelf]]:
    """Return a cache of shelves of about 4 kB that were used in this order, an hour apart."""
    found = FeatureCache(folder, limit_bytes=1 << 20)
    made = {name: found.shelf(replace(EXACT, model=name, revision=name)) for name in names}
    for hours, shelf in enumerate(made.values()):
        write(shelf, {"one": feature(120)})
        os.utime(shelf.folder / "about.json", (3600 * hours, 3600 * hours))
    return found, made


def there(made: Mapping[str, Shelf]) -> set[str]:
    return {name for name, shelf in made.items() if shelf.folder.exists()}


def test_the_shelves_that_were_used_longest_ago_make_room_and_no_more_of_them_than_needed(
    tmp_path: Path,
) -> None:
    found, made = shelves(tmp_path, "c", "a", "d", "b")
    size = size_of(made["c"])
    limited = FeatureCache(tmp_path, limit_bytes=4 * size)
    assert limited.make_room(0, keep=[]) is None
    assert there(made) == set("abcd")
    assert limited.make_room(size, keep=[]) is None
    assert there(made) == set("abd")
    assert limited.make_room(2 * size + 1, keep=[]) is None
    assert there(made) == set("b")
    assert found.make_room(1 << 19, keep=[]) is None
    assert there(made) == set("b")


def test_a_shelf_that_is_used_again_is_no_longer_the_oldest(tmp_path: Path) -> None:
    found, made = shelves(tmp_path, "a", "b", "c")
    assert "one" in found.shelf(made["a"].recipe)
    limited = FeatureCache(tmp_path, limit_bytes=sum(map(size_of, made.values())))
    assert limited.make_room(1, keep=[]) is None
    assert there(made) == {"a", "c"}


def test_a_shelf_that_is_kept_stays_although_it_is_the_oldest(tmp_path: Path) -> None:
    _, made = shelves(tmp_path, "a", "b", "c")
    limited = FeatureCache(tmp_path, limit_bytes=sum(map(size_of, made.values())))
    new = limited.shelf(replace(EXACT, revision="new"))
    assert limited.make_room(1, keep=[made["a"], new]) is None
    assert there(made) == {"a", "c"}


def test_a_shelf_that_another_run_is_filling_just_now_is_never_removed(tmp_path: Path) -> None:
    limited = FeatureCache(tmp_path, limit_bytes=1000)
    shelf, other = limited.shelf(EXACT), limited.shelf(HALF)
    with shelf.writing() as writer:
        writer.add("one", feature(3), speech=3, samples=3)
        limited.make_room(1000, keep=[other])
        writer.add("two", feature(3), speech=3, samples=3)
    assert "two" in limited.shelf(EXACT)


def test_a_shelf_that_begins_to_be_filled_while_room_is_made_stays_and_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, made = shelves(tmp_path, "a", "b")
    limited = FeatureCache(tmp_path, limit_bytes=sum(map(size_of, made.values())))
    monkeypatch.setattr(cache, "_in_use", lambda _: False)  # when it was asked
    with made["a"].writing():
        assert limited.make_room(1, keep=[]) is None
        assert there(made) == {"a"}
        assert limited.make_room(limited.limit_bytes, keep=[]) == (
            "what would have to go for them is in use"
        )
        assert limited.clear() == 0
    assert there(made) == {"a"}


def test_a_shelf_that_is_removed_while_a_process_waits_to_write_to_it_is_made_anew(
    tmp_path: Path,
) -> None:
    shelf = Shelf(tmp_path / "shelf", EXACT)
    write(shelf, {"old": feature(2)})
    with FileLock(shelf.folder / ".lock"):
        waiting = threading.Thread(target=write, args=(shelf, {"new": feature(3)}))
        waiting.start()
        time.sleep(0.3)
        shutil.rmtree(shelf.folder)
    waiting.join()
    anew = Shelf(tmp_path / "shelf", EXACT)
    assert "new" in anew
    assert "old" not in anew


def test_nothing_is_removed_where_it_would_not_be_enough_and_the_reason_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, made = shelves(tmp_path, "a", "b")
    limited = FeatureCache(tmp_path, limit_bytes=2_500_000_000)
    assert limited.make_room(2_500_000_001, keep=[]) == "the cache may hold 2.5 GB"
    kept = size_of(made["b"])
    assert limited.make_room(2_500_000_001 - kept, keep=[made["b"]]) == "the cache may hold 2.5 GB"
    # What others may need of the disk is not to be had: 1 GiB.
    disk = SimpleNamespace(free=(1 << 30) + 700_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: disk)
    assert limited.make_room(720_000_000, keep=[]) == "the disk has 0.7 GB to spare"
    disk.free = 5
    assert limited.make_room(2_500_000, keep=[]) == "the disk has 0.0 GB to spare"
    assert there(made) == {"a", "b"}


def test_a_disk_that_is_nearly_full_makes_shelves_go_although_the_limit_is_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, made = shelves(tmp_path, "a", "b", "c")
    disk = SimpleNamespace(free=(1 << 30) + 100)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: disk)
    assert found.make_room(100, keep=[]) is None
    assert there(made) == {"a", "b", "c"}
    assert found.make_room(100 + size_of(made["a"]), keep=[]) is None
    assert there(made) == {"b", "c"}


def test_a_cache_that_is_not_there_yet_has_room(tmp_path: Path) -> None:
    new = FeatureCache(tmp_path / "not" / "yet", limit_bytes=1000)
    assert new.make_room(1000, keep=[new.shelf(EXACT)]) is None
    assert new.make_room(1001, keep=[new.shelf(EXACT)]) == "the cache may hold 0.0 GB"
    assert (new.usage(), new.clear()) == ([], 0)
    assert not new.folder.exists()


def test_usage_lists_recipes_and_bytes_the_one_used_last_at_the_end(tmp_path: Path) -> None:
    found, made = shelves(tmp_path, "c", "a", "b")
    assert found.usage() == [Usage(asdict(made[n].recipe), size_of(made[n])) for n in "cab"]
    found.shelf(made["c"].recipe)
    assert [usage.recipe["model"] for usage in found.usage()] == ["a", "b", "c"]
    (made["a"].folder / "about.json").write_text("{", encoding="utf-8")
    assert {} in [usage.recipe for usage in found.usage()]


def test_clearing_gives_all_bytes_back_and_leaves_other_files(tmp_path: Path) -> None:
    found, made = shelves(tmp_path, "a", "b")
    (tmp_path / "precision.json").write_text(json.dumps({}), encoding="utf-8")
    size = sum(map(size_of, made.values()))
    assert size > 2 * feature(120).nbytes
    assert found.clear() == size
    assert [path.name for path in tmp_path.iterdir()] == ["precision.json"]
    assert found.usage() == []
    write(made["a"], {"two": feature(3)})
    assert "two" in found.shelf(made["a"].recipe)


def test_a_shelf_that_may_not_be_removed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, made = shelves(tmp_path, "a")

    def refused(folder: Path) -> None:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(folder))

    monkeypatch.setattr(shutil, "rmtree", refused)
    with pytest.raises(OutputError, match=rf"cannot remove {made['a'].folder}: Permission denied"):
        found.clear()


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"SPEECHTL_CACHE": "/big/disk", "XDG_CACHE_HOME": "/xdg"}, "/big/disk"),
        ({"SPEECHTL_CACHE": "~/mine"}, "/home/ann/mine"),
        ({"SPEECHTL_CACHE": "", "XDG_CACHE_HOME": "/xdg"}, "/xdg/speechtl"),
        ({"XDG_CACHE_HOME": ""}, "/home/ann/.cache/speechtl"),
        ({}, "/home/ann/.cache/speechtl"),
    ],
)
def test_the_folder_is_the_one_that_is_named_else_in_the_user_s_cache(
    variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("USERPROFILE", "/home/ann")
    for name in ("SPEECHTL_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert default_folder() == Path(expected)
