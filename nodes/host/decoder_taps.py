"""The first layers of a VAE's decoder as the host has it, for the selector that looks through them."""

from torch import Tensor, nn

from ...icedit_core.only_changes import perceptual


def decoder_of(vae, channels: int) -> nn.Module | None:
    """The decoder of the host's VAE if it has the layers for latents of `channels`; TAESD and video VAEs have not."""
    decoder = getattr(getattr(vae, "first_stage_model", None), "decoder", None)
    parts = [getattr(decoder, name, None) for name in ("conv_in", "mid", "up")]
    if any(part is None for part in parts) or not len(parts[2]) > 1:
        return None
    fits = isinstance(parts[0], nn.Conv2d) and parts[0].in_channels == channels
    return decoder if fits and hasattr(parts[1], "attn_1") and hasattr(parts[2][-1], "upsample") else None


def taps(decoder: nn.Module, latent: Tensor) -> list[Tensor]:
    """Normalised features of the first convolution, the middle and the first upsampling.

    Args:
        latent: (B, C, H, W) in the VAE's own scale.
    """
    weight = decoder.conv_in.weight
    first = decoder.conv_in(latent.to(weight.device, weight.dtype))
    middle = decoder.mid.block_2(decoder.mid.attn_1(decoder.mid.block_1(first, None)), None)
    level, up = decoder.up[-1], middle
    for index, block in enumerate(level.block):
        up = block(up, None)
        if len(level.attn):
            up = level.attn[index](up)
    return [one.to(latent.device) for one in perceptual.normalised([first, middle, level.upsample(up)])]
