"""How far tokens are from the source's by the angle between them: the selector that needs no decoder."""

import torch.nn.functional as F
from torch import Tensor


def distance(tokens: Tensor, source: Tensor) -> Tensor:
    """1 - cosine similarity of each token's channels, 0 (the same direction) to 2.

    Args:
        tokens: (B, N, C), of the estimate.
        source: (B or 1, N, C).
    Returns:
        (B, N).
    Source: SpotEdit's code ("cosine") and RegionE, which compares the similarity with a lower bound.
    """
    return 1 - F.cosine_similarity(tokens.float(), source.float(), dim=-1)
