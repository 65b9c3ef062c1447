"""A very small random Qwen2.5-VL with EditReward's two heads, saved with the names that its checkpoint has."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from .tiny_vlm import CHAT, make_tokenizer

HIDDEN = 32


def save(path: Path) -> Path:
    """The folder, with heads at random."""
    import transformers

    tokenizer = make_tokenizer()
    words = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
    image, video, start, end = map(tokenizer.convert_tokens_to_ids, words)
    config = transformers.Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer) + 1, "hidden_size": HIDDEN, "intermediate_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 2, "num_key_value_heads": 1, "max_window_layers": 2,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 2, 2]},
        },
        vision_config={
            "hidden_size": 32, "intermediate_size": 64, "depth": 2, "num_heads": 2, "out_hidden_size": HIDDEN,
            "fullatt_block_indexes": [1], "window_size": 56, "patch_size": 14,
        },
        image_token_id=image, video_token_id=video, vision_start_token_id=start, vision_end_token_id=end,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.Qwen2_5_VLForConditionalGeneration(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 1.5 * parameter[0].numel() ** -0.5)
    model.save_pretrained(path)
    images = transformers.Qwen2VLImageProcessor(patch_size=14)
    videos = transformers.Qwen2VLVideoProcessor()
    transformers.Qwen2_5_VLProcessor(images, tokenizer, videos, chat_template=CHAT).save_pretrained(path)
    weights = load_file(path / "model.safetensors")
    for at in range(2):
        for layer, outputs, inputs in ((0, 1024, HIDDEN), (3, 16, 1024), (5, 2, 16)):
            weights[f"rm_heads.head_{at}.{layer}.weight"] = torch.randn(outputs, inputs) * inputs**-0.5
            weights[f"rm_heads.head_{at}.{layer}.bias"] = torch.randn(outputs) * 0.1
    save_file(weights, path / "model.safetensors", {"format": "pt"})
    return path
