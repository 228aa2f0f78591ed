"""What `load` takes, and the one clear error for each thing that it cannot."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import errors as hub
from safetensors.torch import load_file, save_file

from speechtl.errors import ModelError
from speechtl.models import STARTERS, Features, load, loading, local_revision

from .conftest import noise

Checkpoint = Callable[[str], Path]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


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


class Hub:
    """Stands in for the hub: serves one repository from a folder, only the files asked for."""

    def __init__(self, source: Path, cache: Path) -> None:
        self.source = source
        self.snapshot = cache / "models--acme--tiny" / "snapshots" / COMMIT
        self.asked: list[tuple[str, str | None]] = []

    def __call__(self, repository: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        self.asked.append((repository, revision))
        self.snapshot.mkdir(parents=True, exist_ok=True)
        for pattern in allow_patterns:
            for path in self.source.glob(pattern):
                shutil.copy(path, self.snapshot)
        return str(self.snapshot)


@pytest.mark.parametrize(("name", "revision"), [("acme/tiny", None), ("acme/tiny@v1.0", "v1.0")])
def test_a_hub_id_may_name_its_revision_and_gives_the_commit(
    name: str,
    revision: str | None,
    checkpoint: Checkpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served = Hub(checkpoint("wavlm"), tmp_path)
    monkeypatch.setattr(loading, "snapshot_download", served)
    model = load(name)
    assert (model.name, model.revision) == (name, COMMIT)
    assert served.asked == [("acme/tiny", revision)]
    assert load(str(served.snapshot)).revision == load(str(checkpoint("wavlm"))).revision


def test_pickled_weights_are_fetched_only_where_there_are_no_safetensors(
    own_checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = own_checkpoint("hubert")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    served = Hub(folder, tmp_path / "a")
    monkeypatch.setattr(loading, "snapshot_download", served)
    load("acme/tiny")
    assert not (served.snapshot / "pytorch_model.bin").exists()
    (folder / "model.safetensors").unlink()
    served = Hub(folder, tmp_path / "b")
    monkeypatch.setattr(loading, "snapshot_download", served)
    load("acme/tiny")
    assert (served.snapshot / "pytorch_model.bin").exists()


def test_a_hub_repository_without_configuration_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "snapshot_download", Hub(tmp_path, tmp_path))
    with pytest.raises(ModelError, match="no transformers checkpoint"):
        load("acme/tiny")


ANSWER: Any = SimpleNamespace(headers={}, request=None)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (hub.GatedRepoError("no", response=ANSWER), "is gated.*hf auth login"),
        (hub.RepositoryNotFoundError("no", response=ANSWER), "is not on the hub"),
        (hub.RevisionNotFoundError("no", response=ANSWER), "is not on the hub"),
        (hub.HFValidationError("no"), "is not on the hub"),
        (hub.HfHubHTTPError("no", response=ANSWER), "hub cannot be reached"),
        (hub.LocalEntryNotFoundError("no"), "hub cannot be reached"),
        (hub.OfflineModeIsEnabled("no"), "hub cannot be reached"),
        (hub.HTTPError("no"), "hub cannot be reached"),  # type: ignore[attr-defined]
    ],
)
def test_what_the_hub_refuses_is_said_with_the_other_ways(
    error: Exception, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise error

    monkeypatch.setattr(loading, "snapshot_download", refuse)
    with pytest.raises(ModelError, match=message) as raised:
        load("acme/tiny@main")
    assert "acme/tiny@main" in str(raised.value)
    assert "local checkpoint folder" in str(raised.value)
    assert "starter-whisper" in str(raised.value)
