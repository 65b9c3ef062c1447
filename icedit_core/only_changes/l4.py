"""How far tokens are from the source's by the fourth power of the difference."""

from torch import Tensor


def distance(tokens: Tensor, source: Tensor) -> Tensor:
    """The mean of |difference|^4 over each token's channels, 0 and more.

    Args:
        tokens: (B, N, C); source: (B or 1, N, C).
    Returns:
        (B, N).
    Source: SpotEdit's code ("L4").
    """
    return (tokens.float() - source.float()).abs().pow(4).mean(-1)
