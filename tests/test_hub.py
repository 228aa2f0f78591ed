"""What loading from the hub promises: the same corpus whatever happens on the way, or one error.

The hub is a server on loopback that speaks its protocol. Most tests point the libraries at it where
they keep its address; one process of its own is told by the environment alone, as a user's is.
"""

from __future__ import annotations

import gc
import io
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import numpy as np
import pytest
import soundfile
from hub_server import TOKEN, HubServer, point_client
from huggingface_hub.utils._http import close_session
from huggingface_hub.utils.tqdm import disable_progress_bars, enable_progress_bars

from speechtl import corpora
from speechtl.corpora import huggingface
from speechtl.corpus import Corpus
from speechtl.errors import ConfigError, DataError
from speechtl.models.loading import STARTERS

DIALECTS = "ylacombe/english_dialects"
EDACC = "edinburghcstr/edacc"
SCOTTISH = "hf:ylacombe/english_dialects:scottish_male+scottish_female"

_DIALECTS_README = """---
dataset_info:
{infos}configs:
{configs}license: cc-by-sa-4.0
language:
- en
---
# Crowdsourced high-quality UK and Ireland English Dialect speech data set
"""
_INFO = """- config_name: {name}
  features:
  - name: line_id
    dtype: string
  - name: audio
    dtype: audio
  - name: text
    dtype: string
  - name: speaker_id
    dtype: int64
  splits:
  - name: train
    num_bytes: 4000
    num_examples: {count}
  download_size: 4000
  dataset_size: 4000
"""
_CONFIG = """- config_name: {name}
  data_files:
  - split: train
    path: {name}/train-*
"""
_EDACC_README = """---
dataset_info:
  features:
{features}  - name: audio
    dtype: audio
configs:
- config_name: default
  data_files:
  - split: validation
    path: data/validation-*
  - split: test
    path: data/test-*
---
"""


def tone(samples: int, kind: str = "WAV") -> dict[str, Any]:
    """Return a recording as a data set holds it: its bytes, and a file name."""
    stream = io.BytesIO()
    soundfile.write(stream, np.full(samples, 0.1), 16_000, format=kind)
    return {"bytes": stream.getvalue(), "path": f"clip{samples}.{kind.lower()}"}


def parquet(**columns: Any) -> bytes:
    """Return the Parquet file that `push_to_hub` would write of the columns."""
    rows = datasets.Dataset.from_dict(columns).cast_column("audio", datasets.Audio())
    stream = io.BytesIO()
    rows.to_parquet(stream)
    return stream.getvalue()


def dialects(**columns: Any) -> dict[str, bytes]:
    """Return the files of a small `ylacombe/english_dialects`: two shards of three, each voice."""
    counts = {"irish_male": 6, "scottish_female": 6, "scottish_male": 6}
    infos = "".join(_INFO.format(name=name, count=count) for name, count in counts.items())
    configs = "".join(_CONFIG.format(name=name) for name in counts)
    files = {"README.md": _DIALECTS_README.format(infos=infos, configs=configs).encode()}
    for place, name in enumerate(counts):
        for shard in range(2):
            first = 100 * (place + 1) + 10 * shard
            files[f"{name}/train-0000{shard}-of-00002.parquet"] = parquet(
                **{
                    "line_id": [f"EN{shard}{k}" for k in range(3)],
                    "audio": [tone(800 + first + k) for k in range(3)],
                    "text": [f"Sentence {shard} {k} of the set." for k in range(3)],
                    "speaker_id": [first, first, first + 1],
                }
                | columns
            )
    return files


def edacc() -> dict[str, bytes]:
    """Return the files of a small `edinburghcstr/edacc`: two splits of two utterances."""
    names = ("speaker", "text", "accent", "raw_accent", "gender", "l1")
    features = "".join(f"  - name: {name}\n    dtype: string\n" for name in names)
    files = {"README.md": _EDACC_README.format(features=features).encode()}
    for place, split in enumerate(("validation", "test")):
        files[f"data/{split}-00000-of-00001.parquet"] = parquet(
            speaker=[f"EDACC-C0{place}-A", f"EDACC-C0{place}-B"],
            text=["AYE IT IS", "NO IT IS NOT"],
            accent=["Scottish English", "Irish English"],
            raw_accent=["Glaswegian", "Dublin"],
            gender=["Female", "m"],
            l1=["English", "English"],
            audio=[tone(1000 + 100 * place, "FLAC"), tone(1050 + 100 * place, "FLAC")],
        )
    return files


@pytest.fixture(scope="module")
def published() -> dict[str, dict[str, bytes]]:
    """Return the files of both data sets."""
    datasets.disable_progress_bars()
    return {DIALECTS: dialects(), EDACC: edacc()}


@pytest.fixture
def hub(published: dict[str, dict[str, bytes]]) -> Iterator[HubServer]:
    """Return a hub that has both data sets."""
    with HubServer() as server:
        server.dataset(DIALECTS, published[DIALECTS], "v1")
        server.dataset(EDACC, published[EDACC])
        yield server


@pytest.fixture(autouse=True)
def _client(hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Point the libraries at the server, with caches of their own and short waits."""
    point_client(hub, monkeypatch, tmp_path)
    for name, kept in {
        "HF_ENDPOINT": hub.url,
        "HF_HUB_OFFLINE": False,
        "HF_DATASETS_CACHE": tmp_path / "datasets",
        "DOWNLOADED_DATASETS_PATH": tmp_path / "downloads",
    }.items():
        monkeypatch.setattr(datasets.config, name, kept)
    disable_progress_bars()
    yield
    enable_progress_bars()
    close_session()


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Corpus]:
    """Return a function that loads Scottish dialects, or what it is told, from the server."""

    def loaded(source: str = DIALECTS, *configs: str, **options: Any) -> Corpus:
        if source.startswith(DIALECTS):
            configs = configs or ("scottish_male", "scottish_female")
        return huggingface.load(source, configs, **({"cache": tmp_path / "cache"} | options))

    return loaded


def failure(load: Callable[..., Corpus], *args: Any, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        load(*args, **options)
    return str(caught.value)


def names(corpus: Corpus) -> list[str]:
    return [each.id for each in corpus]


@pytest.mark.parametrize("streaming", [False, True])
def test_the_dialects_come_as_they_are_published(
    load: Callable[..., Corpus], *, streaming: bool
) -> None:
    corpus = load(streaming=streaming)
    assert names(corpus)[:4] == ["300-EN00", "300-EN01", "301-EN02", "310-EN10"]
    assert [each.sex for each in corpus] == ["male"] * 6 + ["female"] * 6
    assert {(each.accent, each.split) for each in corpus} == {("scottish", None)}
    assert {each.licence for each in corpus} == {"CC-BY-SA-4.0"}
    assert corpus.speakers == ("200", "201", "210", "211", "300", "301", "310", "311")
    assert corpus[0].text == "Sentence 0 0 of the set."
    lengths = [len(each.waveform()) for each in corpus]
    assert lengths[:6] == [1100, 1101, 1102, 1110, 1111, 1112]
    assert lengths[6:] == [1000, 1001, 1002, 1010, 1011, 1012]


def test_a_streamed_corpus_is_the_unstreamed_one(load: Callable[..., Corpus]) -> None:
    assert load(streaming=True) == load()
    assert load(EDACC, streaming=True) == load(EDACC)


def test_edacc_names_the_sex_and_has_dev_and_test(load: Callable[..., Corpus]) -> None:
    corpus = load(EDACC)
    assert [(each.sex, each.accent, each.split) for each in corpus] == [
        ("female", "Scottish English", "dev"),
        ("male", "Irish English", "dev"),
        ("female", "Scottish English", "test"),
        ("male", "Irish English", "test"),
    ]
    assert [len(each.waveform()) for each in corpus] == [1000, 1050, 1100, 1150]
    assert {each.audio.suffix for each in corpus} == {".flac"}


# The library leaves a table open where it fails.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_hub_of_audio_files_says_how_to_have_them(
    hub: HubServer, load: Callable[..., Corpus]
) -> None:
    table = b"file_name,text,speaker,accent\na.wav,Aye.,s1,scottish\n"
    files = {"train/metadata.csv": table, "train/a.wav": tone(900)["bytes"]}
    hub.dataset("own/recordings", files)
    for streaming in (False, True):
        told = failure(load, "own/recordings", streaming=streaming)
        assert "is a folder of audio files rather than Parquet: write a manifest of what" in told
        assert "`hf download --repo-type dataset own/recordings --local-dir FOLDER`" in told
    gc.collect()


def test_rows_of_the_hub_never_name_files_of_this_machine(
    hub: HubServer, load: Callable[..., Corpus], tmp_path: Path
) -> None:
    (tmp_path / "mine.wav").write_bytes(tone(900)["bytes"])
    paths = [{"bytes": None, "path": str(tmp_path / "mine.wav")}, None, None]
    hub.dataset(DIALECTS, dialects(audio=paths))
    assert "no row with audio and a transcript" in failure(load)


def test_a_limit_streams_no_more_files_than_it_needs(
    hub: HubServer, load: Callable[..., Corpus]
) -> None:
    corpus = load(DIALECTS, "scottish_male", streaming=True, limit=2)
    assert names(corpus) == ["EN00", "EN01"]
    assert hub.asked("GET .*scottish_male/train-00000-of")
    assert not hub.asked("GET .*scottish_male/train-00001-of")
    assert len(list(corpus[0].audio.parent.iterdir())) == 2


def test_a_name_on_the_hub_is_read_up_to_a_limit(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SPEECHTL_CORPORA", str(tmp_path / "none"))
    reading = corpora.read(f"hf:{DIALECTS}:scottish_male", limit=2)
    assert names(reading.corpus) == ["EN00", "EN01"]
    assert reading.notes == ("2 utterances at most, shared out over configurations and splits",)
    known = corpora.read("openslr83:scottish", limit=3)
    assert [each.sex for each in known.corpus] == ["female"] * 2 + ["male"]
    assert not hub.asked("GET .*/train-00001-of|irish_male/")
    irish = corpora.read("edacc:irish english", limit=2).corpus
    assert [(each.split, each.accent) for each in irish] == [
        ("dev", "irish english"),
        ("test", "irish english"),
    ]


def test_only_the_accents_asked_for_are_taken(load: Callable[..., Corpus]) -> None:
    for streaming in (False, True):
        corpus = load(EDACC, accents=("Irish ENGLISH",), streaming=streaming)
        assert {each.accent for each in corpus} == {"Irish English"}
        assert len(list(corpus[0].audio.parent.iterdir())) == len(corpus) == 2
    told = failure(load, EDACC, accents=("welsh",))
    assert "no row with audio and a transcript in the accent welsh; choose another" in told


def test_a_limit_is_shared_out_and_is_the_same_streamed(load: Callable[..., Corpus]) -> None:
    corpus = load(limit=5)
    assert [each.sex for each in corpus] == ["male"] * 3 + ["female"] * 2
    assert corpus == load(limit=5, streaming=True)
    assert [each.split for each in load(EDACC, limit=3)] == ["dev", "dev", "test"]
    assert names(load(limit=1)) == ["EN00"]
    with pytest.raises(ConfigError, match="1 utterance or more, got 0"):
        load(limit=0)


def test_a_revision_is_pinned_by_branch_tag_or_commit(
    hub: HubServer, load: Callable[..., Corpus]
) -> None:
    old = hub.datasets[DIALECTS].refs["v1"]
    hub.dataset(DIALECTS, dialects(text=["New.", "Newer.", "Newest."]))
    assert {each.text for each in load(f"{DIALECTS}@main")} == {"New.", "Newer.", "Newest."}
    tagged, pinned = load(f"{DIALECTS}@v1"), load(f"{DIALECTS}@{old}", streaming=True)
    assert tagged[0].text == pinned[0].text == "Sentence 0 0 of the set."
    assert {each.licence for each in tagged} == {"CC-BY-SA-4.0"}
    told = failure(load, f"{DIALECTS}@v7")
    assert "has no revision 'v7': give a branch, a tag or a whole commit" in told


def test_all_configurations_are_of_one_commit(hub: HubServer, load: Callable[..., Corpus]) -> None:
    load()
    assert len(hub.asked(f"GET /api/datasets/{DIALECTS}$")) == 1
    assert not hub.asked("/resolve/main/")


@pytest.mark.parametrize("streaming", [False, True])
def test_a_dropped_connection_is_taken_up_again(
    hub: HubServer, load: Callable[..., Corpus], *, streaming: bool
) -> None:
    hub.trouble("GET /cdn/", "drop", times=2)
    assert names(load(streaming=streaming))[:2] == ["300-EN00", "300-EN01"]
    assert all(each.times == 0 for each in hub.troubles)
    assert load(streaming=streaming) == load(streaming=not streaming)


def test_a_dropped_file_goes_on_where_it_ended(
    hub: HubServer, load: Callable[..., Corpus], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    data = hub.datasets[DIALECTS].commits[hub.datasets[DIALECTS].refs["main"]]
    size = len(data["scottish_male/train-00000-of-00002.parquet"])
    hub.trouble("GET /cdn/", "drop")
    load(DIALECTS, "scottish_male")
    first, second = hub.asked("GET /cdn/")[:2]
    assert first.line == second.line
    assert (first.range, second.range) == (None, f"bytes={size // 2000 * 1000}-")


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    "where", ["GET /api/datasets/[^/]+/[^/]+$", "HEAD .*/resolve/", "GET .*/tree/", "GET /cdn/"]
)
def test_a_hub_that_recovers_is_asked_again(
    hub: HubServer, load: Callable[..., Corpus], where: str, *, streaming: bool
) -> None:
    for status in (429, 500, 503):
        hub.trouble(where, status)
    assert len(load(EDACC, streaming=streaming)) == 4
    assert [each.times for each in hub.troubles] == [0, 0, 0]


def test_a_retry_is_logged_and_waits_as_long_as_the_hub_asks(
    hub: HubServer,
    load: Callable[..., Corpus],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    hub.trouble("GET /api/datasets", 429, Retry_After="7")
    hub.trouble("GET /api/datasets", 503)
    hub.trouble("GET /api/datasets", 429, RateLimit='"api";r=0;t=9')
    with caplog.at_level(logging.INFO, "speechtl"):
        load(EDACC)
    assert waited == [7, 2, 9]
    assert "429" in caplog.messages[0]
    assert caplog.messages[0].endswith("the hub is asked again in 7 s")


def test_a_hub_that_stays_in_trouble_is_given_up(
    hub: HubServer, load: Callable[..., Corpus]
) -> None:
    hub.trouble("GET /api/datasets", 503, times=999)
    assert "the hub is in trouble (status 503), though asked several times" in failure(load)
    assert len(hub.asked("/api/datasets")) == 4
    hub.troubles.clear()
    hub.trouble("/api/datasets", 429, times=999)
    assert "too many requests from here (429)" in failure(load, EDACC)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(("where", "most"), [("GET /cdn/", 12), ("HEAD .*/resolve/", 7)])
def test_files_that_cannot_be_had_are_given_up(
    hub: HubServer, load: Callable[..., Corpus], where: str, most: int, *, streaming: bool
) -> None:
    hub.trouble(where, 502, times=999)
    before = len(hub.requests)
    assert "the hub is in trouble (status 502)" in failure(load, streaming=streaming)
    assert len(hub.asked(where)) <= most
    assert len(hub.requests) - before < 50


def test_another_commit_is_never_taken_from_the_cache(
    hub: HubServer, load: Callable[..., Corpus]
) -> None:
    load(DIALECTS, "scottish_male")
    hub.dataset(DIALECTS, dialects(text=["New.", "Newer.", "Newest."]))
    hub.trouble("HEAD .*/resolve/", 502, times=999)
    assert "status 502" in failure(load, DIALECTS, "scottish_male")


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    "where", ["GET /api/datasets/[^/]+/[^/]+$", "(HEAD|GET) .*/resolve/", "tree|paths-info"]
)
def test_a_hub_that_does_not_answer_is_given_up(
    hub: HubServer, load: Callable[..., Corpus], where: str, *, streaming: bool
) -> None:
    hub.trouble(where, "stall", times=99)
    for name in ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"):
        setattr(huggingface_hub.constants, name, 0.1)
    before = time.monotonic()
    told = failure(load, EDACC, streaming=streaming)
    assert time.monotonic() - before < 10
    assert "the hub did not answer in time, though asked several times" in told
    assert "raise HF_HUB_DOWNLOAD_TIMEOUT and HF_HUB_ETAG_TIMEOUT (now 0.1 s and 0.1 s)" in told


def test_a_gated_set_says_what_to_do_and_opens_with_a_token(
    hub: HubServer, load: Callable[..., Corpus], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.datasets[EDACC].gated = True
    told = failure(load, EDACC)
    assert f"'{EDACC}' is gated: accept its terms on {hub.url}/datasets/{EDACC}" in told
    assert "`hf auth login` or set HF_TOKEN" in told
    assert len(hub.requests) == 2
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert len(load(EDACC)) == 4


def test_a_set_that_closes_while_it_is_loaded_is_told_as_gated(
    hub: HubServer, load: Callable[..., Corpus]
) -> None:
    hub.trouble("/api/datasets/[^/]+/[^/]+$", 401, X_Error_Code="GatedRepo")
    assert "is gated: accept its terms" in failure(load, EDACC)
    hub.trouble("/api/datasets/[^/]+/[^/]+$", 403)
    assert "the hub refuses it (403)" in failure(load, EDACC)


def test_a_misspelt_set_is_told_with_a_suggestion(
    hub: HubServer, load: Callable[..., Corpus]
) -> None:
    told = failure(load, "ylacombe/english_dialect")
    assert "is not on the hub, nor a folder here: check the id (did you mean" in told
    assert f"(did you mean '{DIALECTS}'?)" in told
    assert len(hub.requests) == 1
    assert "did you mean" not in failure(load, "someone/something")
    for source in ("no-folder-here", "/no/folder/here", "a/b/c"):
        assert "is no folder, nor the id of a data set on the hub" in failure(load, source)
    assert len(hub.requests) == 2


def test_a_configuration_must_be_one_of_those_that_are_there(load: Callable[..., Corpus]) -> None:
    with pytest.raises(DataError) as caught:
        huggingface.load(DIALECTS)
    told = str(caught.value)
    assert "has 3 configurations, and none is named" in told
    assert f"such as `hf:{DIALECTS}:irish_male+scottish_female`" in told
    assert told.endswith("They are: irish_male, scottish_female, scottish_male")
    told = failure(load, DIALECTS, "scotish_male")
    assert "has no configuration 'scotish_male' (did you mean 'scottish_male'?)" in told
    assert told.endswith("It has: irish_male, scottish_female, scottish_male")


def test_no_network_is_told_at_once_with_the_ways_around_it(
    hub: HubServer, load: Callable[..., Corpus], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    before = time.monotonic()
    told = failure(load)
    assert time.monotonic() - before < 5
    assert "cannot be loaded, for the hub cannot be reached" in told
    assert "`hf:FOLDER`" in told
    assert "`starter`" in told
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE keeps the hub from being asked: unset it" in failure(load)


def test_without_a_network_what_was_loaded_before_is_loaded_again(
    hub: HubServer,
    load: Callable[..., Corpus],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    commit = hub.datasets[DIALECTS].refs["main"]
    before, pinned = load(), load(f"{DIALECTS}@{commit}")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert load() == before
    assert load(streaming=True) == before
    assert load(f"{DIALECTS}@{commit}") == pinned
    assert f"the copy that was loaded before is used (commit {commit})" in caplog.text
    for other in ("main", "0" * 40):
        assert "is not in the cache" in failure(load, f"{DIALECTS}@{other}")


def test_faulty_rows_are_all_told_with_their_places(
    hub: HubServer, load: Callable[..., Corpus]
) -> None:
    hub.dataset(DIALECTS, dialects(speaker_id=[1, None, None]))
    with pytest.raises(DataError) as caught:
        load()
    assert len(caught.value.faults) == 8
    assert "8 faults in its rows" in str(caught.value)
    first, last = caught.value.faults[0], caught.value.faults[-1]
    assert first.startswith(f"{DIALECTS}:scottish_male-000001: the row names no speaker; fill in")
    assert last.startswith(f"{DIALECTS}:scottish_female-000005: ")
    named = load(speaker="nobody knows")
    assert named.speakers == ("1", "nobody knows")


def test_a_folder_causes_no_request(
    hub: HubServer, load: Callable[..., Corpus], tmp_path: Path
) -> None:
    folder = tmp_path / "snapshot"
    for name, data in dialects().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    for streaming in (False, True):
        corpus = load(str(folder), "scottish_male", "scottish_female", streaming=streaming)
        assert names(corpus)[:2] == ["300-EN00", "300-EN01"]
    assert "has 3 configurations, and none is named" in failure(load, str(folder))
    assert hub.requests == []


def test_a_process_that_the_environment_alone_points_to_the_hub(
    hub: HubServer, tmp_path: Path
) -> None:
    model = {path.name: path.read_bytes() for path in STARTERS["starter-wav2vec2"].iterdir()}
    hub.model("someone/wav2vec2", model, "v2")
    script = """
import json
from speechtl import corpora, models
found = {
    "dialects": [each.id for each in corpora.load("%s")],
    "edacc": [each.sex for each in corpora.load("hf:%s")],
    "revision": models.load("someone/wav2vec2@v2").revision,
}
print(json.dumps(found))
"""
    proxy = hub.url  # whatever is sent to another host arrives here, as CONNECT
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith("HF_") and not name.upper().endswith("_PROXY")
    }
    done = subprocess.run(
        (sys.executable, "-c", script % (SCOTTISH, EDACC)),
        env=environment
        | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HOME": str(tmp_path)}
        | {"HTTPS_PROXY": proxy, "HTTP_PROXY": proxy, "NO_PROXY": "127.0.0.1,localhost"}
        | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["dialects"][:2] == ["300-EN00", "300-EN01"]
    assert found["edacc"] == ["female", "male"] * 2
    assert found["revision"] == hub.models["someone/wav2vec2"].refs["v2"]
    assert not hub.asked("CONNECT|telemetry")
    last = hub.requests.index(hub.asked("/datasets/")[-1])
    assert not any("harness" in each.line for each in hub.requests[:last])
