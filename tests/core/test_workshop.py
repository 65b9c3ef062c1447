"""The workshop finds what it trained: the shipped files in the demo, the ablation's adapters beside itself."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from demo.model_files import ADAPTER, LORAS, WEIGHTS
from workshop import ablation, export, train_adapters
from workshop.lora_files import lora_file

ROOT = Path(__file__).resolve().parents[2]
TRAINED = sorted(variant for variant, _ in ablation.VARIANTS.values() if variant)


def test_the_ablation_measures_every_adapter_that_is_trained():
    assert TRAINED == sorted(train_adapters.VARIANTS)


@pytest.mark.parametrize("variant", TRAINED)
def test_an_adapters_file_is_there(variant: str):
    with safe_open(lora_file(variant), "pt") as file:
        routed = any(".expert_" in key for key in file.keys())
    assert routed == variant.startswith("moe")


def test_the_recorded_ablation_is_of_the_committed_weights():
    recorded = json.loads((ROOT / "benchmarks" / "ablation.json").read_text(encoding="utf-8"))
    assert ablation.are_of(recorded, ablation.facts_of(600)) and not ablation.are_of({}, ablation.facts_of(600))
    for name, variant in recorded["variants"].items():
        trained, _ = ablation.VARIANTS[name]
        digest = hashlib.sha256(lora_file(trained).read_bytes()).hexdigest() if trained else None
        assert variant.get("sha256") == digest
    assert {"base", "normal_lora", "moe_lora"} <= set(recorded["variants"])
    earlier = recorded.get("earlier")
    assert set(recorded["variants"]) == set(ablation.VARIANTS) or set(earlier["variants"]) == set(ablation.VARIANTS)
    assert not earlier or not ablation.are_of(earlier, {"weights": ablation.facts_of(600)["weights"]})
    with safe_open(WEIGHTS / "icedit_demo_fill.safetensors", "pt") as file:
        last = [file.get_tensor(f"time_text_embed.text_embedder.linear_2.{part}") for part in ("weight", "bias")]
    assert not any(part.any() for part in last), "what CLIP-L gives is multiplied by zeros"


def test_figures_of_earlier_weights_are_kept_apart_until_all_are_measured_again():
    all_of_one = {"scenes": 2, "first_seed": 1, "weights": {"a": "1"}, "ceiling": {"all": {}}, "steps": 12}
    full = all_of_one | {"variants": {name: {"figures": {}, "by_scene": [1]} for name in ablation.VARIANTS}}
    kept = ablation.earlier_of(full)
    assert kept["weights"] == {"a": "1"} and kept["variants"] == {name: {"figures": {}} for name in ablation.VARIANTS}
    some = all_of_one | {"weights": {"a": "2"}, "variants": {"base": {"figures": {}}}, "earlier": kept}
    assert ablation.earlier_of(some) == kept and ablation.earlier_of({}) == {}


def test_one_adapter_ships():
    assert list(LORAS.iterdir()) == [ADAPTER]
    assert [variant for variant in TRAINED if lora_file(variant) == ADAPTER] == ["moe_lora"]


def test_adapters_are_exported_to_where_they_belong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    places = {name: tmp_path / place / f"{name}.safetensors" for name, place in (("a", "ships"), ("b", "stays"))}
    for name in places:
        (tmp_path / name).mkdir()
        save_file({"x": torch.ones(2)}, tmp_path / name / "adapter.safetensors")
    monkeypatch.setattr(export, "lora_file", places.__getitem__)
    export.export_adapters(tmp_path, None)
    assert all(load_file(path)["x"].dtype == torch.bfloat16 for path in places.values())


def test_the_shipped_clip_l_is_the_exporters_and_all_zeros():
    shipped = load_file(WEIGHTS / "icedit_demo_clip_l.safetensors")
    made = export.clip_l_state_dict()
    assert {key: value.shape for key, value in shipped.items()} == {key: value.shape for key, value in made.items()}
    assert not any(value.any() for value in (*shipped.values(), *made.values()))


def test_the_configs_hashes_are_those_of_the_shipped_files():
    config = json.loads((WEIGHTS / "config.json").read_text(encoding="utf-8"))
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in WEIGHTS.glob("*.safetensors")}
    assert len(files) == 4 and config["sha256"] == files
