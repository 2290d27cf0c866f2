"""Every loss of the two papers.

Ludwig et al. train HigherHRNet with `heatmap_mse`; RTMPose, whose outputs are bins per axis, has `simcc_divergence`.

Srivastav et al., section 2.3: L_kpt = L_2Dhard + L_2Dsoft + L_3Dhard + L_3Dsoft, which is added to the losses of
Faster R-CNN. HM_hard and HM_soft are the heat maps of the two branches; the hard labels H and the soft labels S are
those of section 2.2.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import keypoints_to_heatmap

SHARPNESS = 10.0  # factor on the scores before SimCC's softmaxes
SOFT = ("temperature", "weighted")


def heatmap_mse(predicted: list[Tensor], target: list[Tensor], labelled: Tensor) -> Tensor:
    """Mean squared error of heat maps, Σ_r mean_k mean_u (H_k^r(u) − target)², over resolutions r (HigherHRNet 3.3).

    predicted, target: one [N, K, h, w] per resolution. labelled [N, K] bool: keypoints without a label, such as dropped
    pseudo labels, are ignored; an empty target would teach that they are absent.
    """
    weight = labelled.to(predicted[0].dtype)
    count = weight.sum().clamp_min(1)
    return sum((((p - t) ** 2).mean(dim=(2, 3)) * weight).sum() / count for p, t in zip(predicted, target, strict=True))


def coordinate_mse(distance: Tensor, confident: Tensor) -> Tensor:
    """Mean of ‖distance‖² over the keypoints that count; distance [N, K, 2], confident [N, K] bool."""
    return ((distance**2).sum(-1) * confident).sum() / confident.sum().clamp_min(1)


def joint_distance(predicted: Tensor, points: Tensor) -> Tensor:
    """Mean distance ‖2Dto3D(x) − X‖ of predicted from true joints [P, K, 3], in thousands of their unit: mm → m."""
    return (predicted - points).norm(dim=-1).mean() / 1000


def simcc_divergence(bins: Tensor, place: Tensor, shown: Tensor, sigma: float) -> Tensor:
    """Kullback-Leibler divergence of SimCC outputs on one axis from their target (RTMPose section 3.1).

    bins [N, K, B]: scores of the bins of the axis. place [N, K]: the labelled position, in bins. shown [N, K] bool:
    which keypoints count. Both distributions are softmaxes: of 10 times the scores, and of 10 times a Gaussian of
    `sigma` bins and peak 1.
    """
    cells = torch.arange(bins.shape[-1], device=bins.device)
    gaussian = torch.exp(-((cells - place.unsqueeze(-1)) ** 2) / (2 * sigma**2))
    target = (SHARPNESS * gaussian).softmax(-1)
    divergence = F.kl_div((SHARPNESS * bins).log_softmax(-1), target, reduction="none").sum(-1)
    return (divergence * shown).sum() / shown.sum().clamp_min(1)


def loss_2d_hard(hm_hard: Tensor, rois: Tensor, h_2d: Tensor) -> Tensor:
    """L_2Dhard = Σ_k CE(HM_hard,k , cell of H_2D,k) / number of keypoints k that count.

    hm_hard [R, K, S, S]: logits over the cells of rois [R, 4]. h_2d [R, K, 3]: the hard keypoints of the person in
    each, in pixels from the frame's edge. A keypoint counts if its third value is above 0 and it lies inside the RoI;
    the loss is 0 if none does.
    """
    ce, valid = cross_entropy(hm_hard, rois, h_2d)
    return ce[valid].sum() / valid.sum().clamp_min(1)


def loss_2d_soft(hm_soft: Tensor, rois: Tensor, s_2d: Tensor, kind: str = "temperature") -> Tensor:
    """L_2Dsoft, with the confidence c_k of each soft keypoint, the third value of s_2d [R, K, 3].

    "temperature", the paper's:  Σ_k CE(c_k HM_soft,k , cell of S_2D,k) / number of keypoints that count
    "weighted":                  Σ_k c_k CE(HM_soft,k , cell of S_2D,k) / number of keypoints that count

    Keypoints with c_k > 0 inside their RoI count, so with "weighted" a frame of low confidence contributes less. With
    all c_k = 1 both are `loss_2d_hard`.
    hm_soft [R, K, S, S], rois [R, 4] and pixels as for `loss_2d_hard`.
    """
    c = s_2d[..., 2].clamp(0, 1)
    if kind == "temperature":
        return loss_2d_hard(c[..., None, None] * hm_soft, rois, s_2d)
    ce, valid = cross_entropy(hm_soft, rois, s_2d)
    return (c * ce)[valid].sum() / valid.sum().clamp_min(1)


def cross_entropy(hm: Tensor, rois: Tensor, keypoints: Tensor) -> tuple[Tensor, Tensor]:
    """CE [R, K] of the cell that holds each keypoint, and which keypoints [R, K] count; arguments as above.

    As in Mask R-CNN: a softmax over all S² cells of a map; the cell is floor((x − x0) S / w), or the last one for
    points on the right and lower border.
    """
    cells, valid = keypoints_to_heatmap(keypoints, rois, hm.shape[-1])
    logits = hm.flatten(2).flatten(0, 1)
    return F.cross_entropy(logits, cells.flatten(), reduction="none").view_as(cells), valid.bool()


def loss_3d(lifter: nn.Module, rays: Tensor, points: Tensor) -> Tensor:
    """L_3Dhard or L_3Dsoft: smooth L1 (β = 1) between 2Dto3D(keypoints) and the labels' 3D.

    lifter: 2Dto3D_hard or 2Dto3D_soft. rays [P, K, 3]: H_2D or S_2D as rays of their camera (`geometry.rays`, missing
    where the third value is 0); as these are labels, not predictions, no gradient reaches the heat maps. points
    [P, K, 3]: H_3D or S_3D in millimetres in the axes of the camera, with any root. (For the hard loss section 2.3
    names S_3D as the target; we use H_3D, which section 2.2 lifts from H_2D.)

    The mean over normalised coordinates. People without keypoints or without 3D (all 0) do not count. Batch norm needs
    two people; for fewer the loss is 0.
    """
    counts = (rays[..., 2] > 0).any(1) & (points != 0).flatten(1).any(1)
    if counts.sum() < 2:
        return lifter.last.weight.sum() * 0
    return F.smooth_l1_loss(lifter.normalised(rays[counts]), lifter.target(rays[counts], points[counts]))
