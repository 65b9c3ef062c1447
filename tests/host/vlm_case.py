"""A small random Qwen3-VL in a folder, as `save_pretrained` writes it, and the same weights as a CLIP of the host.

Its output layer is made so that it answers "1" or "2", now one, now the other, depending on the pictures, and ends. The
tokenizer is the one that ComfyUI bundles, the chat format the published one.
"""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

HIDDEN, LAYERS = 32, 3
VISION = {"hidden_size": 64, "intermediate_size": 128, "depth": 3, "deepstack_visual_indexes": [0, 1]}
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}"
    "{% if part.type == 'text' %}{{ part.text }}{% else %}<|vision_start|><|image_pad|><|vision_end|>{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEXT = {
    "vocab_size": 151936,
    "hidden_size": HIDDEN,
    "intermediate_size": 128,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}


def save(folder: Path, comfyui: Path, seed: int = 0) -> Path:
    """Write model and processor; 10 M parameters, nearly all of them words."""
    import transformers

    vision = {**VISION, "num_heads": 16, "patch_size": 16, "out_hidden_size": HIDDEN, "num_position_embeddings": 2304}
    rope = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [24, 20, 20], "mrope_interleaved": True}
    text = {**TEXT, "head_dim": 128, "rope_parameters": rope, "rms_norm_eps": 1e-6, "max_position_embeddings": 4096}
    config = transformers.Qwen3VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=False)
    torch.manual_seed(seed)
    model = transformers.Qwen3VLForConditionalGeneration(config).float().eval()
    tokenizer = transformers.Qwen2Tokenizer.from_pretrained(
        comfyui / "comfy" / "text_encoders" / "qwen25_tokenizer", local_files_only=True
    )
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.7 * parameter[0].numel() ** -0.5)
        model.get_input_embeddings().weight.normal_()
        embeddings = model.get_input_embeddings().weight
        embeddings[:, 0] = 4  # a direction that every state has, for words to stand out
        embeddings[:, 1] = 0
        embeddings[tokenizer.convert_tokens_to_ids(["1", "2"]), 1] = 30  # after a number the answer is over
    model.generation_config.eos_token_id = tokenizer.convert_tokens_to_ids("<|im_end|>")
    model.generation_config.pad_token_id = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    images = transformers.Qwen2VLImageProcessor(
        patch_size=16, image_mean=[0.5] * 3, image_std=[0.5] * 3, size={"shortest_edge": 3136, "longest_edge": 12845056}
    )
    videos = transformers.Qwen3VLVideoProcessor()
    processor = transformers.Qwen3VLProcessor(images, tokenizer, videos, chat_template=CHAT)
    _teach_to_answer(model, processor)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@torch.no_grad()
def _teach_to_answer(model, processor) -> None:
    """Set the output layer from the states that some pictures lead to: likely words "1" and "2", told apart by them."""

    def state(seed: int) -> torch.Tensor:
        shown = [Image.fromarray((picture * 255).round().byte().numpy()) for picture in pictures(seed)]
        content = [{"type": "image", "image": image} for image in shown]
        asked = [{"role": "user", "content": [*content, {"type": "text", "text": "Which?"}]}]
        inputs = processor.apply_chat_template(
            asked, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
        return model.model(**inputs).last_hidden_state[0, -1]

    states = torch.stack([state(seed) for seed in range(100, 106)])
    common = states.mean(0)
    # The direction in which the states differ most, without what they have in common.
    differ = torch.linalg.svd(states - common).Vh[0]
    differ -= common * (differ @ common) / (common @ common)
    differ /= (states @ differ).std()
    likely = 14 * common / (common @ common)  # against 151934 words of logit 0
    head = model.lm_head.weight
    head.zero_()
    head[processor.tokenizer.convert_tokens_to_ids("<|im_end|>"), 1] = 3
    for word, sign in (("1", 1), ("2", -1)):
        head[processor.tokenizer.convert_tokens_to_ids(word)] = likely + sign * differ


def load_clip(folder: Path, monkeypatch):
    """The folder's weights through the host's loader, float32.

    The host reads a Qwen3-VL's text sizes from its options, but has its vision sizes in a table.
    """
    import comfy.sd
    import comfy.text_encoders.qwen3vl as qwen3vl
    import comfy.utils

    monkeypatch.setitem(qwen3vl.QWEN3VL_VISION, "qwen3vl_8b", VISION)
    (file,) = folder.glob("*.safetensors")
    return comfy.sd.load_text_encoder_state_dicts(
        [comfy.utils.load_torch_file(str(file), safe_load=True)],
        clip_type=comfy.sd.CLIPType.QWEN_IMAGE,
        model_options={"dtype": torch.float32, "qwen3vl_8b_model_config": TEXT},
    )


def pictures(seed: int, count: int = 3, height: int = 64, width: int = 96) -> list[torch.Tensor]:
    """Random smooth pictures (H, W, 3) with 8-bit values, sizes that no model has to change."""
    noise = torch.rand(count, 3, 4, 6, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(noise, (height, width), mode="bilinear").movedim(1, -1)
    return list((smooth * 255).round() / 255)


def gemma_clip(monkeypatch):
    """A small random Gemma 3 with eyes as a CLIP of the host, with a tokenizer trained on a few words."""
    import io

    import comfy.ops
    import comfy.sd
    import sentencepiece
    from comfy.text_encoders import llama

    eyes = {"hidden_size": 32, "image_size": 56, "intermediate_size": 64, "num_attention_heads": 2}
    for name, value in {**eyes, "num_hidden_layers": 1}.items():
        monkeypatch.setitem(llama.GEMMA3_VISION_CONFIG, name, value)
    monkeypatch.setattr(llama.Gemma3_4B_Vision_Config, "mm_tokens_per_image", 4)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3}
    sizes |= {"num_attention_heads": 1, "num_key_value_heads": 1}
    generator = torch.Generator().manual_seed(0)
    model = llama.Gemma3_4B_Vision(sizes, torch.float32, "cpu", comfy.ops.disable_weight_init)
    weights = {key: torch.randn(value.shape, generator=generator) * 0.2 for key, value in model.state_dict().items()}
    weights["model.embed_tokens.weight"][200:] = 0  # what the tokenizer cannot write is seldom said
    words = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["which edit is better, 1 or 2?", "user model system"] * 20),
        model_writer=words,
        vocab_size=60,
        hard_vocab_limit=False,
        bos_id=2,
        eos_id=1,
        pad_id=0,
        unk_id=3,
        minloglevel=2,
    )
    weights["spiece_model"] = torch.frombuffer(bytearray(words.getvalue()), dtype=torch.uint8)
    return comfy.sd.load_text_encoder_state_dicts(
        [weights], model_options={"dtype": torch.float32, "gemma3_4b_vision_model_config": sizes}
    )
