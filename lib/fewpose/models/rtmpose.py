"""RTMPose-s: a pretrained backbone for real images on small machines, and the network as it was.

Jiang et al., *RTMPose: Real-Time Multi-Person Pose Estimation based on MMPose* (2023). Its ONNX
file (26 Halpe keypoints, 256x192; :func:`fewpose.models.find_onnx`) is run in torch, so that
its CSPNeXt backbone can be trained further under a head of its own.
"""

from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from fewpose.models.backbones import DeconvolutionPose
from fewpose.models.fetching import find_onnx
from fewpose.models.higher_hrnet import check_keypoints, heat_map_layer
from fewpose.models.onnx_graph import (
    OnnxFile,
    OnnxGraph,
    channels_of,
    freeze_parts,
    read_onnx,
    run_parts,
)

PARTS = 5  # the stem and four stages, each at half the resolution of the one before


class RTMPose(DeconvolutionPose):
    """RTMPose's CSPNeXt backbone under a light deconvolution head that also reads early features.

    Three deconvolutions lead from 1/32 to 1/4; the maps of the backbone's stages are added on the
    way (``channels``: at 1/32, 1/16, 1/8, 1/4). Batch norm of the backbone is folded into its
    convolutions: it trains well with a tenth of the head's learning rate.

    The first ``frozen`` of the backbone's five parts (stem, stages 1 to 4) are neither trained nor
    stored for the backward pass. On two cores at 256x192 it trains 29, 33, 40, 50, 63 or 81 images
    a second with 0 to 5 parts frozen, and predicts 105.
    """

    def __init__(
        self,
        keypoints: int,
        file: OnnxFile,
        frozen: int = 0,
        dropout: float = 0.0,
        channels: tuple[int, int, int, int] = (128, 96, 64, 64),
    ):
        super().__init__()
        check_keypoints(keypoints)
        self.config = dict(frozen=frozen, channels=list(channels))
        self.keypoints, self.strides = keypoints, (4,)
        cuts = backbone_cuts(file)
        self.backbone = nn.ModuleList(
            OnnxGraph(file, (before,), (after,))
            for before, after in pairwise(cuts)
        )
        widths = [channels_of(file, cut) for cut in cuts[:1:-1]]  # of stages 4, 3, 2, 1
        self.laterals = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, c, 1, bias=False), nn.BatchNorm2d(c))
            for width, c in zip(widths, channels, strict=True)
        )
        self.deconvolutions = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(c, d, 4, 2, 1, bias=False), nn.BatchNorm2d(d))
            for c, d in pairwise(channels)
        )
        self.dropout = nn.Dropout2d(0.0)
        self.final_layer = heat_map_layer(channels[-1], keypoints)
        self.freeze(frozen)
        self.set_dropout(dropout)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Heat maps [N, K, H/4, W/4] of images [N, 3, H, W], ImageNet-normalised RGB.

        Raises ValueError unless H and W are multiples of 32 (256x192 is what it was trained on).
        """
        if images.shape[-1] % 32 or images.shape[-2] % 32:
            raise ValueError(
                f"RTMPose needs images whose sides are multiples of 32, not {images.shape[-2]}x"
                f"{images.shape[-1]} (height x width)."
            )
        return self.head_maps(self.backbone_maps(images))

    @property
    def trunk(self) -> nn.ModuleList:
        """What `backbone_maps` passes: where it is frozen, its answers can be kept (`views`)."""
        return self.backbone

    def backbone_maps(self, images: Tensor) -> list[Tensor]:
        """What the four stages answer to images [N, 3, H, W]: maps at 1/4, 1/8, 1/16 and 1/32."""
        return run_parts(self.backbone, images, self.frozen)[1:]

    def head_maps(self, maps: list[Tensor]) -> list[Tensor]:
        """Heat maps [N, K, H/4, W/4] of the backbone's maps: all that is left if it is frozen."""
        laterals = iter(zip(self.laterals, maps[::-1], strict=True))
        lateral, feature = next(laterals)
        x = self.dropout(lateral(feature).relu())
        for deconvolution, (lateral, feature) in zip(self.deconvolutions, laterals, strict=True):
            x = self.dropout((deconvolution(x) + lateral(feature)).relu())
        return [self.final_layer(x)]

    def freeze(self, parts: int) -> None:
        """Freeze the first ``parts`` of the stem and the four stages, let the others learn."""
        freeze_parts(self.backbone, parts, "RTMPose")
        self.frozen = parts

    @property
    def head(self) -> tuple[str, ...]:
        """All that stands on the backbone: the beginnings of those parameters' names."""
        return ("laterals.", "deconvolutions.", "final_layer.")

    # What `02_pretraining` trains on the everyday world and the package ships.
    decoder = ("laterals.", "deconvolutions.")


def rtmpose_s(
    keypoints: int, path: str | Path | None = None, frozen: int = 0, dropout: float = 0.0
) -> RTMPose:
    """A trainable RTMPose-s with an untrained head, its backbone from ``path`` (ONNX).

    Without a path the file is looked up and, if need be, fetched (:func:`find_onnx`).
    Raises ValueError naming the file if it is absent, damaged or no RTMPose.
    """
    path = find_onnx("rtmpose_s", path)
    try:
        return RTMPose(keypoints, read_onnx(path), frozen, dropout)
    except (KeyError, IndexError) as error:
        raise ValueError(f"{path} is not the ONNX graph of an RTMPose.") from error


def rtmpose_predict(path: str | Path | None, crops: Tensor, batch: int = 32) -> Tensor:
    """The 26 Halpe keypoints that RTMPose-s as published finds in ``crops``, without training.

    crops [N, 3, 256, 192]: one person each, upright, centred, ImageNet-normalised RGB.
    Returns [N, 26, 3]: x, y in pixels of the crop (to half a pixel) and the confidence, the lower
    of the two SimCC maxima (section 3.1 of the RTMPose paper; 0.3 is a common threshold).
    """
    if crops.ndim != 4 or tuple(crops.shape[1:]) != (3, 256, 192):
        raise ValueError(f"RTMPose reads crops [N, 3, 256, 192], not {list(crops.shape)}.")
    network = _whole(str(find_onnx("rtmpose_s", path))).to(crops.device)
    poses = []
    with torch.no_grad():
        for part in crops.split(batch):
            if not len(part):
                continue
            (x_score, x), (y_score, y) = (bins.max(-1) for bins in network(part))
            poses.append(torch.stack([x / 2, y / 2, torch.minimum(x_score, y_score)], -1))
    return torch.cat(poses) if poses else crops.new_zeros(0, 26, 3)


def backbone_cuts(file: OnnxFile) -> list[str]:
    """Names of the tensors at 1, 1/2, 1/4, 1/8, 1/16 and 1/32 between the backbone's parts."""
    convs = [node for node in file.nodes if node.op == "Conv"]
    cuts = [n.inputs[0] for n in convs if list(n.attributes.get("strides", [])) == [2, 2]]
    end = next((n.inputs[0] for n in convs if n.inputs[1] == "head.final_layer.weight"), None)
    if len(cuts) != PARTS or end is None:
        raise KeyError("five convolutions of stride 2 and head.final_layer")
    return [*cuts, end]


@lru_cache(maxsize=1)
def _whole(path: str) -> OnnxGraph:
    file = read_onnx(path)
    return OnnxGraph(file, file.inputs, file.outputs).eval().requires_grad_(False)
