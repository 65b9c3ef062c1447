"""Encode a prompt with the host's text encoders."""


def encode(clip, text: str, guidance: float):
    """Conditioning of `text` with FLUX guidance.

    Raises:
        ValueError: no text encoder is connected.
    """
    if clip is None:
        raise ValueError(
            "ICEdit Prompt: clip is None, but text encoders are needed. "
            "If they come from a checkpoint loader, the checkpoint has none: use DualCLIPLoader with type flux."
        )
    return clip.encode_from_tokens_scheduled(clip.tokenize(text), add_dict={"guidance": guidance})
