"""NeuS's rendering of signed distances along rays: opacity, and the depths of the first and last surface.

After Wang et al., arXiv 2106.10689. NeuS calls f the signed distance that is positive OUTSIDE; here all distances are
positive INSIDE: d = -f. With Phi_s(f) = 1 / (1 + exp(-s f)) the paper's

    alpha_i = max((Phi_s(f_i) - Phi_s(f_i+1)) / Phi_s(f_i), 0),   T_i = prod_j<i (1 - alpha_j)

become, since log Phi_s(f) = -softplus(s d),

    log T_i = -sum_j<i max(softplus(s d_j+1) - softplus(s d_j), 0).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_LEAST = 1e-4


def render_rays(along: Tensor, sharpness: Tensor, depths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Render rays.

    Parameters
    ----------
    along : Tensor, (R, D, B) float32
        Signed distance, positive inside, at D samples along R rays through B cells.
    sharpness : Tensor, (B,)
        NeuS's s: the density falls to a fraction of its peak within 1 / s of the surface.
    depths : Tensor, (D,)
        Depths of the samples, ascending, evenly spaced.

    Returns
    -------
    opacity : Tensor, (R, B)
        sum_i T_i alpha_i, in [0, 1].
    front, back : Tensor, (R, B)
        Expected depth of the first surface, and of the last: the first one of the reversed ray. Given that there is
        one; meaningless where the opacity is near 0.
    """
    inside = functional.softplus(along * sharpness)
    rise = inside[:, 1:] - inside[:, :-1]
    ahead = torch.exp(-rise.clamp(min=0).cumsum(dim=1))
    behind = torch.exp(-(-rise).clamp(min=0).flip(1).cumsum(dim=1))
    middle = 0.5 * float(depths[1] - depths[0])
    front = depths[0] + middle + _expected_intervals(ahead) * (2 * middle)
    back = depths[-1] - middle - _expected_intervals(behind) * (2 * middle)
    return 1 - ahead[:, -1], front, back


def _expected_intervals(passed: Tensor) -> Tensor:
    """Return how many intervals a ray passes before it ends, given that it does, from T after every interval (R, n, B).

    sum_i i (T_i - T_i+1), summed by parts, over the opacity.
    """
    through = passed[:, -1]
    return (passed[:, :-1].sum(dim=1) - (passed.shape[1] - 1) * through) / (1 - through).clamp(min=_LEAST)
