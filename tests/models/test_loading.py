"""What `load` takes, and the one clear error for each thing that it cannot."""

from __future__ import annotations

import errno
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from hub_server import TOKEN, HubServer, point_client
from huggingface_hub.utils._http import close_session
from huggingface_hub.utils.tqdm import disable_progress_bars, enable_progress_bars
from safetensors.torch import load_file, save_file

from speechtl.errors import ModelError
from speechtl.models import STARTERS, Features, load, loading, local_revision

from .conftest import noise

Checkpoint = Callable[[str], Path]


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("kind", "family"),
    [("wav2vec2-group", "ctc"), ("data2vec-audio", "ctc"), ("english", "whisper")],
)
def test_the_family_follows_from_the_configuration(
    kind: str, family: str, checkpoint: Checkpoint
) -> None:
    model = load(str(checkpoint(kind)))
    assert (model.family, model.name) == (family, str(checkpoint(kind)))
    assert {p.dtype for p in model.network.parameters()} == {torch.float32}
    assert not model.network.training


def test_the_revision_of_a_folder_changes_with_its_weights_and_with_how_audio_is_read(
    own_checkpoint: Checkpoint,
) -> None:
    folder = own_checkpoint("hubert")
    revisions = [load(str(folder)).revision]
    (folder / "notes.txt").write_text("mine")
    assert load(str(folder)).revision == revisions[0]
    rewrite(folder, lambda w: w.update({k: v + 1 for k, v in w.items() if k == "lm_head.bias"}))
    revisions.append(load(str(folder)).revision)
    settings = folder / "preprocessor_config.json"
    settings.write_text(settings.read_text().replace(": true", ": false"))
    revisions.append(load(str(folder)).revision)
    assert len(set(revisions)) == 3


def test_half_precision_weights_are_read_as_float32(own_checkpoint: Checkpoint) -> None:
    folder = own_checkpoint("hubert")
    rewrite(folder, lambda w: w.update({k: v.half() for k, v in w.items()}))
    assert {p.dtype for p in load(str(folder)).network.parameters()} == {torch.float32}


def test_loading_says_nothing(checkpoint: Checkpoint, capfd: pytest.CaptureFixture[str]) -> None:
    for kind in ("wav2vec2-group", "multilingual"):
        model = load(str(checkpoint(kind)))
        model.decode(model.encode([noise(0.5, seed=1)], "encoder.0"))
    assert capfd.readouterr() == ("", "")


def test_pickled_weights_are_read_without_running_them(own_checkpoint: Checkpoint) -> None:
    folder = own_checkpoint("hubert")
    expected = load(str(folder)).decode(features := features_of(folder))
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert load(str(folder)).decode(features) == expected


def features_of(folder: Path) -> Features:
    return load(str(folder)).encode([noise(0.3, seed=1)], "encoder.1")


class Trap:
    """Writes a file when unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path(self.path),))


def test_a_pickle_that_would_run_code_is_refused(
    own_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    folder = own_checkpoint("hubert")
    (folder / "model.safetensors").unlink()
    torch.save({"lm_head.weight": Trap(str(tmp_path / "sprung"))}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(str(folder))
    assert not (tmp_path / "sprung").exists()


def test_code_that_a_checkpoint_brings_is_never_run_nor_asked_about(
    own_checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = own_checkpoint("wavlm")
    (folder / "own.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')\nclass Own: pass\n")
    for path in folder.glob("*processor*.json"):
        path.unlink()
    settings = {"auto_map": {"AutoFeatureExtractor": "own.Own"}}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(str(folder))
    assert not (tmp_path / "sprung").exists()


def test_the_digest_of_a_folder_is_its_revision_and_a_hub_id_has_none_yet(
    checkpoint: Checkpoint,
) -> None:
    folder = str(checkpoint("hubert"))
    assert local_revision(folder) == load(folder).revision
    assert local_revision("starter-wav2vec2")
    assert local_revision("facebook/wav2vec2-base-960h") is None


def test_old_names_of_the_weight_norm_are_understood(own_checkpoint: Checkpoint) -> None:
    folder = own_checkpoint("wav2vec2-stable")
    features = features_of(folder)
    expected = load(str(folder)).decode(features)

    def rename(weights: dict[str, torch.Tensor]) -> None:
        prefix = "wav2vec2.encoder.pos_conv_embed.conv."
        for new, old in (("original0", "weight_g"), ("original1", "weight_v")):
            weights[prefix + old] = weights.pop(f"{prefix}parametrizations.weight.{new}")

    rewrite(folder, rename)
    assert load(str(folder)).decode(features) == expected


def test_a_missing_mask_vector_is_no_fault_and_becomes_zero(own_checkpoint: Checkpoint) -> None:
    folder = own_checkpoint("wav2vec2-group")
    rewrite(folder, lambda w: w.pop("wav2vec2.masked_spec_embed"))
    network: Any = load(str(folder)).network
    assert not network.base_model.masked_spec_embed.any()


# --- random weights -------------------------------------------------------------------------------

scratch_kinds = pytest.mark.parametrize(
    "kind", ["wav2vec2-group", "wavlm-stable", "data2vec-audio", "english", "multilingual"]
)


@scratch_kinds
def test_random_weights_are_the_seed_s_and_none_of_the_checkpoint_s(
    kind: str, checkpoint: Checkpoint
) -> None:
    folder = str(checkpoint(kind))
    base, first, again, other = (load(folder, random_seed=seed) for seed in (None, 3, 3, 4))
    for theirs in (base, other):
        for part, its in zip(first.parts(), theirs.parts(), strict=True):
            drawn = [
                not torch.equal(one, two)
                for one, two in zip(part.parameters(), its.parameters(), strict=True)
            ]
            assert any(drawn), f"{part.name} is not drawn"
    weights = first.network.state_dict()
    assert all(torch.equal(w, again.network.state_dict()[key]) for key, w in weights.items())
    assert {key: w.shape for key, w in weights.items()} == {
        key: w.shape for key, w in base.network.state_dict().items()
    }
    assert all(bool(torch.isfinite(w).all()) for w in weights.values())
    assert not first.network.training
    assert (first.revision, other.revision) == (
        f"{base.revision}-random-3",
        f"{base.revision}-random-4",
    )
    assert first.labels("the cat", samples=16_000) == base.labels("the cat", samples=16_000)


def test_random_weights_are_float32_whatever_the_checkpoint_s_are(
    own_checkpoint: Checkpoint,
) -> None:
    for kind in ("hubert", "english"):
        folder = own_checkpoint(kind)
        rewrite(folder, lambda w: w.update({k: v.half() for k, v in w.items()}))
        with_config(torch_dtype="float16", dtype="float16")(folder)
        found = load(str(folder), random_seed=0)
        assert {p.dtype for p in found.network.parameters()} == {torch.float32}


def test_a_whisper_of_random_weights_decodes_as_its_checkpoint_is_told_to(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    base, drawn = (load(str(checkpoint("multilingual")), random_seed=s) for s in (None, 0))
    networks: tuple[Any, Any] = (base.network, drawn.network)
    asked, found = (network.generation_config.to_dict() for network in networks)
    assert found == asked
    output = networks[1].get_output_embeddings().weight
    assert output is networks[1].get_input_embeddings().weight
    # Its encoder's positions are sines, drawn by no seed.
    positions = [network.model.encoder.embed_positions.weight for network in networks]
    assert torch.equal(*positions)
    drawn.save(tmp_path / "saved")
    again = load(str(tmp_path / "saved"))
    features = [model.encode([noise(1.0, seed=1)], "decoder.0") for model in (drawn, again)]
    assert drawn.decode(features[0]) == again.decode(features[1])


@pytest.mark.parametrize("kind", ["wav2vec2-group", "english"])
def test_drawing_weights_leaves_the_global_generators_as_loading_does(
    kind: str, checkpoint: Checkpoint
) -> None:
    def states() -> tuple[torch.Tensor, str, object]:
        return torch.get_rng_state(), str(np.random.get_state()), random.getstate()  # noqa: NPY002

    load(str(checkpoint(kind)))  # what is imported first may draw
    torch.manual_seed(0)
    load(str(checkpoint(kind)))  # which transformers draws for
    plain = states()
    torch.manual_seed(0)
    load(str(checkpoint(kind)), random_seed=5)
    drawn = states()
    assert torch.equal(plain[0], drawn[0])
    assert plain[1:] == drawn[1:]


# --- broken checkpoints ---------------------------------------------------------------------------


def without_head(folder: Path) -> None:
    rewrite(folder, lambda w: [w.pop(key) for key in list(w) if key.startswith("lm_head")])


def without_a_layer(folder: Path) -> None:
    rewrite(folder, lambda w: [w.pop(key) for key in list(w) if ".layers.1." in key])


def without(*names: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for name in names:
            (folder / name).unlink(missing_ok=True)

    change.__name__ = "without " + " ".join(names)
    return change


def with_config(**entries: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | entries))

    change.__name__ = f"with {entries}"
    return change


def with_broken(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_bytes((folder / name).read_bytes()[:100])

    change.__name__ = f"with broken {name}"
    return change


def with_sampling_rate(folder: Path) -> None:
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sampling_rate": 8000}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("config.json"), "no config.json"),
        (with_broken("config.json"), "config.json is broken"),
        (with_config(model_type="bert"), "type 'bert'; supported are: whisper, wav2vec2, hubert"),
        (with_config(hidden_size="many"), "cannot be loaded"),
        (without("model.safetensors"), "no weights"),
        (with_broken("model.safetensors"), "cannot be loaded"),
        (without_head, "no CTC head.*self-supervised"),
        (without_a_layer, "lacks 16 weights"),
        (with_config(vocab_size=7), "cannot be loaded"),
        (without("vocab.json", "tokenizer.json"), "no tokenizer.*self-supervised"),
        (without("preprocessor_config.json"), "cannot be loaded"),
        (with_sampling_rate, "reads 8000 Hz; it must be 16000 Hz"),
    ],
)
def test_a_broken_checkpoint_gives_one_clear_error(
    change: Callable[[Path], None], message: str, own_checkpoint: Checkpoint
) -> None:
    folder = own_checkpoint("wav2vec2-group")
    change(folder)
    with pytest.raises(ModelError, match=message) as raised:
        load(str(folder))
    assert str(folder) in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_a_whisper_checkpoint_without_tokenizer_is_refused(own_checkpoint: Checkpoint) -> None:
    folder = own_checkpoint("english")
    without("tokenizer.json", "vocab.json")(folder)
    with pytest.raises(ModelError, match="no tokenizer"):
        load(str(folder))


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "nowhere", "a/b/c", "~/nowhere"])
def test_a_name_that_is_neither_folder_nor_hub_id_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match="starter-wav2vec2, starter-whisper"):
        load(name)


def test_an_unknown_device_is_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(str(checkpoint("hubert")), device="abacus")


def test_a_starter_is_a_folder_of_the_package(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [path.parts[-3:] for path in STARTERS.values()] == [
        ("speechtl", "starter", "wav2vec2"),
        ("speechtl", "starter", "whisper"),
    ]
    monkeypatch.setitem(loading.STARTERS, "starter-whisper", checkpoint("english"))
    assert load("starter-whisper").name == "starter-whisper"
    monkeypatch.setitem(loading.STARTERS, "starter-whisper", tmp_path)
    with pytest.raises(ModelError, match="starter-whisper is missing from this installation"):
        load("starter-whisper")


# --- from the hub ---------------------------------------------------------------------------------

TINY = "acme/tiny"
INFO, TREE = "GET /api/models/acme/tiny$", "GET .*/tree/"
HEAD, FILE, WEIGHTS = "HEAD .*/resolve/", "GET .*/resolve/.*config.json", "GET /cdn/"


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def served(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[HubServer]:
    """Return a hub on loopback that has a tiny WavLM."""
    disable_progress_bars()
    with HubServer() as server:
        server.model(TINY, files(checkpoint("wavlm")), "v1.0")
        point_client(server, monkeypatch, tmp_path)
        yield server
    close_session()
    enable_progress_bars()


def refusal(name: str = TINY) -> str:
    """Return what is said where a checkpoint cannot be loaded, with the ways around it."""
    with pytest.raises(ModelError) as raised:
        load(name)
    told = str(raised.value)
    assert told.startswith(name)
    assert "Give a local checkpoint folder, or a model that comes with the package" in told
    assert len(told.splitlines()) == 1
    return told


@pytest.mark.parametrize("name", [TINY, f"{TINY}@v1.0"])
def test_a_hub_id_may_name_its_revision_and_gives_the_commit(
    name: str, served: HubServer, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    commit = served.models[TINY].refs["v1.0"]
    model = load(name)
    assert (model.name, model.revision) == (name, commit)
    (folder,) = (tmp_path / "hub").glob(f"*/snapshots/{commit}")
    assert load(str(folder)).revision == load(str(checkpoint("wavlm"))).revision
    assert not served.asked("telemetry|/xet")


def test_a_tag_is_not_the_branch(served: HubServer, checkpoint: Checkpoint) -> None:
    served.model(TINY, files(checkpoint("hubert")))
    assert load(f"{TINY}@v1.0").revision == served.models[TINY].refs["v1.0"]
    assert load(TINY).revision == served.models[TINY].refs["main"]
    assert "has no revision 'v7': give a branch, a tag or a whole commit" in refusal(f"{TINY}@v7")


def test_pickled_weights_are_fetched_only_where_there_are_no_safetensors(
    served: HubServer, own_checkpoint: Checkpoint
) -> None:
    folder = own_checkpoint("hubert")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    served.model("acme/both", files(folder))
    load("acme/both")
    assert not served.asked("pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    served.model("acme/pickled", files(folder))
    load("acme/pickled")
    assert served.asked("GET .*/pytorch_model.bin")


def test_a_hub_repository_without_configuration_is_refused(served: HubServer) -> None:
    served.model("acme/empty", {"README.md": b"# Nothing"})
    assert "no transformers checkpoint" in refusal("acme/empty")


@pytest.mark.parametrize("where", [INFO, TREE, HEAD, FILE, WEIGHTS])
def test_a_hub_that_recovers_is_asked_again(served: HubServer, where: str) -> None:
    for status in (429, 503):
        served.trouble(where, status)
    assert load(TINY).revision == served.models[TINY].refs["main"]
    assert [each.times for each in served.troubles] == [0, 0]


@pytest.mark.parametrize("kind", ["drop", "hang"])
def test_weights_that_break_off_go_on_where_they_ended(
    served: HubServer, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
    data = served.models[TINY].commits[served.models[TINY].refs["main"]]["model.safetensors"]
    served.trouble(WEIGHTS, kind)
    load(TINY)
    assert [each.range for each in served.asked(WEIGHTS)] == [
        None,
        f"bytes={len(data) // 2000 * 1000}-",
    ]


@pytest.mark.parametrize(
    ("where", "most"), [(INFO, 4), (TREE, 6), (HEAD, 7), (FILE, 6), (WEIGHTS, 6)]
)
def test_a_hub_that_does_not_answer_is_given_up(
    served: HubServer, where: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"):
        monkeypatch.setattr(huggingface_hub.constants, name, 0.1)
    served.trouble(where, "stall", times=999)
    before = time.monotonic()
    told = refusal()
    assert time.monotonic() - before < 10
    assert "the hub did not answer in time, though asked several times" in told
    assert "raise HF_HUB_DOWNLOAD_TIMEOUT and HF_HUB_ETAG_TIMEOUT (now 0.1 s and 0.1 s)" in told
    assert max(Counter(each.line for each in served.asked(where)).values()) <= most


@pytest.mark.parametrize(("status", "said"), [(503, "(status 503)"), (429, "(429); wait some")])
@pytest.mark.parametrize(("where", "most"), [(INFO, 4), (TREE, 24), (WEIGHTS, 6)])
def test_a_hub_that_stays_in_trouble_is_given_up(
    served: HubServer, where: str, most: int, status: int, said: str
) -> None:
    served.trouble(where, status, times=999)
    assert said in refusal()
    assert len(served.asked(where)) <= most


def test_a_hub_that_asks_for_an_hour_is_given_a_minute(
    served: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    served.trouble(INFO, 429, Retry_After="3600")
    served.trouble(WEIGHTS, 429, RateLimit='"resolvers";r=0;t=3600')
    load(TINY)
    assert waited == [60, 61]  # the client adds a second


def test_a_gated_model_says_what_to_do_and_opens_with_a_token(
    served: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.models[TINY].gated = True
    commit = served.models[TINY].refs["main"]
    for name in (TINY, f"{TINY}@{commit}"):
        told = refusal(name)
        assert f"is gated: accept its terms on {served.url}/{TINY}, and then log in" in told
        assert "`hf auth login` or set HF_TOKEN" in told
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert load(TINY).revision == commit
    served.trouble(INFO, 401, X_Error_Message="Invalid credentials in Authorization header")
    assert "the hub refuses it (401); check HF_TOKEN" in refusal()


def test_a_model_that_is_not_on_the_hub_is_told_to_be_checked(served: HubServer) -> None:
    told = refusal("acme/tinny")
    assert "is not on the hub, nor a folder here: check the id" in told
    assert len(served.requests) == 1


def test_without_a_network_it_is_said_in_seconds(
    served: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    before = time.monotonic()
    assert "cannot be loaded, for the hub cannot be reached" in refusal()
    assert time.monotonic() - before < 5
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE keeps the hub from being asked: unset it" in refusal()


def test_what_was_fetched_before_is_loaded_while_the_hub_is_silent(
    served: HubServer, checkpoint: Checkpoint, caplog: pytest.LogCaptureFixture
) -> None:
    commit = load(TINY).revision
    served.model(TINY, files(checkpoint("hubert")))
    served.trouble(INFO, 503, times=4)
    assert load(TINY).revision == commit
    assert f"the copy that was fetched before is used (commit {commit})" in caplog.text
    assert load(TINY).revision == served.models[TINY].refs["main"] != commit
    served.requests.clear()
    assert load(f"{TINY}@{commit}").revision == commit
    assert served.requests == []


def test_a_full_disk_is_not_taken_for_the_hub(
    served: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(loading, "snapshot_download", full)
    assert "cannot be loaded: [Errno 28] No space left on device." in refusal()
