"""A tiny random FLUX Fill in diffusers' folder layout, tokenizers included, written by diffusers itself."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxFillPipeline, FluxTransformer2DModel
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, T5Config, T5EncoderModel, T5TokenizerFast

WIDTH = 32  # of T5's states
POOLED = 16


def flux_fill(seed: int = 0) -> FluxTransformer2DModel:
    """One double and one single block, hidden 128."""
    torch.manual_seed(seed)
    return FluxTransformer2DModel(
        patch_size=1,
        in_channels=384,
        out_channels=64,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=128,
        num_attention_heads=1,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=POOLED,
        guidance_embeds=True,
        axes_dims_rope=(16, 56, 56),
    )


def autoencoder(seed: int = 0) -> AutoencoderKL:
    """Eight pixels a cell; the distribution has no width, so that its mean and its samples are the same."""
    torch.manual_seed(seed)
    blocks = 4
    model = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        block_out_channels=(8,) * blocks,
        layers_per_block=1,
        latent_channels=16,
        norm_num_groups=4,
        scaling_factor=0.3611,
        shift_factor=0.1159,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    with torch.no_grad():
        model.encoder.conv_out.weight[16:] = 0
        model.encoder.conv_out.bias[16:] = -60
    return model


def _t5_tokenizer(folder: Path) -> T5TokenizerFast:
    """One piece a letter."""
    letters = [chr(c) for c in range(33, 127)]
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0), ("\u2581", -2.0), *((c, -3.0) for c in letters)]
    built = Tokenizer(models.Unigram(vocabulary, unk_id=2))
    built.pre_tokenizer = pre_tokenizers.Metaspace()
    built.decoder = decoders.Metaspace()
    built.post_processor = processors.TemplateProcessing("$A </s>", "$A </s> $B </s>", [("</s>", 1)])
    folder.mkdir(parents=True)
    built.save(str(folder / "tokenizer.json"))
    words = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>", "extra_ids": 0}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "T5Tokenizer", **words}))
    return T5TokenizerFast.from_pretrained(folder)


def _clip_tokenizer(folder: Path) -> CLIPTokenizer:
    letters = [chr(c) for c in range(33, 127)]
    pieces = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(pieces)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 77})
    )
    return CLIPTokenizer.from_pretrained(folder)


def flux_pipeline(scratch: Path, seed: int = 0) -> FluxFillPipeline:
    """The whole pipeline; `scratch` is for the tokenizers' files."""
    clip_tokenizer, t5_tokenizer = _clip_tokenizer(scratch / "clip"), _t5_tokenizer(scratch / "t5")
    torch.manual_seed(seed)
    clip = CLIPTextConfig(
        hidden_size=POOLED,
        intermediate_size=32,
        num_attention_heads=2,
        num_hidden_layers=2,
        projection_dim=POOLED,
        vocab_size=len(clip_tokenizer),
        eos_token_id=clip_tokenizer.eos_token_id,
        bos_token_id=clip_tokenizer.bos_token_id,
    )
    t5 = T5Config(
        d_model=WIDTH, d_kv=8, num_heads=4, d_ff=64, num_layers=2, vocab_size=128, feed_forward_proj="gated-gelu"
    )
    return FluxFillPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=autoencoder(seed),
        text_encoder=CLIPTextModel(clip).eval(),
        tokenizer=clip_tokenizer,
        text_encoder_2=T5EncoderModel(t5).eval(),
        tokenizer_2=t5_tokenizer,
        transformer=flux_fill(seed).eval(),
    )


def write_flux_folder(folder: Path, seed: int = 0) -> FluxFillPipeline:
    """Save a pipeline at `folder`, and return it."""
    pipeline = flux_pipeline(folder.with_name(f"{folder.name}_tokenizers"), seed)
    pipeline.save_pretrained(folder)
    return pipeline
