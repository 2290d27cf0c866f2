"""Any timm feature backbone under a deconvolution head.

The head is SimpleBaseline's (Xiao et al., *Simple Baselines for Human Pose Estimation and
Tracking*, ECCV 2018, section 2): deconvolutions of 256 channels from the deepest map to 1/4.
"""

from pathlib import Path

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from fewpose.models.higher_hrnet import check_dropout, check_keypoints, heat_map_layer


class TimmPose(nn.Module):
    """The timm model ``backbone`` (``features_only``) under three deconvolutions and a 1x1 layer.

    ``weights`` is a file of the backbone's weights (.safetensors, or .pth of timm or torchvision);
    ``pretrained=True`` lets timm download its own instead. ``options`` go to timm, such as
    ``img_size=(256, 192)`` for a transformer that needs it. A backbone that ends at 1/16 gets two
    deconvolutions. Raises ValueError for an unknown backbone, one without maps, or a file that
    does not fit.
    """

    reads_head: dict[str, int] = {}  # noqa: RUF012

    def __init__(
        self,
        backbone: str,
        keypoints: int,
        weights: str | Path | None = None,
        pretrained: bool = False,
        channels: int = 256,
        dropout: float = 0.0,
        **options,
    ):
        super().__init__()
        check_keypoints(keypoints)
        self.config = dict(backbone=backbone, channels=channels, **options)
        self.keypoints, self.strides = keypoints, (4,)
        try:
            self.backbone = timm.create_model(
                backbone, features_only=True, pretrained=pretrained, out_indices=(-1,), **options
            )
        except (RuntimeError, AttributeError, AssertionError) as error:
            raise ValueError(f"timm has no feature backbone '{backbone}' ({error}).") from error
        stride = self.backbone.feature_info.reduction()[-1]
        if stride not in (4, 8, 16, 32):
            raise ValueError(f"The maps of '{backbone}' have stride {stride}, not 4, 8, 16 or 32.")
        self.channels_last = str(getattr(self.backbone, "output_fmt", "")).endswith("NHWC")
        if weights:
            load_backbone(self.backbone, weights)

        width = self.backbone.feature_info.channels()[-1]
        self.dropout = nn.Dropout2d(0.0)
        layers = []
        for _ in range({4: 0, 8: 1, 16: 2, 32: 3}[stride]):
            deconvolution = nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False)
            nn.init.normal_(deconvolution.weight, std=0.001)
            layers += [deconvolution, nn.BatchNorm2d(channels), nn.ReLU(inplace=True), self.dropout]
            width = channels
        self.deconvolutions = nn.Sequential(*layers)
        self.final_layer = heat_map_layer(width, keypoints)
        self.set_dropout(dropout)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Heat maps [N, K, H/4, W/4] of images [N, 3, H, W], ImageNet-normalised RGB."""
        x = self.backbone(images)[-1]
        if self.channels_last:
            x = x.permute(0, 3, 1, 2)
        return [self.final_layer(self.deconvolutions(x))]

    def set_dropout(self, p: float, stages: object = None) -> None:
        """Drop whole channels with probability ``p`` after each deconvolution."""
        check_dropout(p)
        self.dropout.p = p

    def new_head(self, keypoints: int) -> None:
        """Replace the last layer by an untrained one for other keypoints."""
        check_keypoints(keypoints)
        old = self.final_layer.weight
        self.final_layer = heat_map_layer(old.shape[1], keypoints).to(old.device, old.dtype)
        self.keypoints = keypoints

    @property
    def head(self) -> tuple[str, ...]:
        """All that stands on the backbone: the beginnings of those parameters' names."""
        return ("deconvolutions.", "final_layer.")


def load_backbone(backbone: nn.Module, path: str | Path) -> None:
    """Load a timm or torchvision weights file whole into a timm feature backbone.

    timm renames modules of some backbones ("stages.0" to "stages_0"), torchvision's MobileNetV2
    has names of its own in the same order: both are understood. Raises ValueError naming the file
    if it is absent, damaged or does not cover the backbone.
    """
    given = _read(Path(path))
    own = backbone.state_dict()
    by_name = {name.replace(".", "_"): value for name, value in given.items()}
    found = {name: by_name.get(name.replace(".", "_")) for name in own}
    if all(value is None for value in found.values()):
        found = dict(zip(own, given.values(), strict=False))
    for name, value in own.items():
        if found.get(name) is None or found[name].shape != value.shape:
            why = "is not there" if found.get(name) is None else "has another shape"
            raise ValueError(f"{path} does not fit the backbone: '{name}' {why}.")
    backbone.load_state_dict(found)


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ValueError(f"There is no weights file {path}.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        given = torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a readable safetensors file ({error}).") from error
    except Exception as error:  # torch raises a dozen kinds for damaged files
        raise ValueError(f"{path} is not a readable PyTorch checkpoint ({error}).") from error
    for wrapper in ("state_dict", "model"):
        if isinstance(given, dict) and isinstance(given.get(wrapper), dict):
            given = given[wrapper]
    if not isinstance(given, dict):
        raise ValueError(f"{path} holds no state dict but a {type(given).__name__}.")
    return {name: value for name, value in given.items() if isinstance(value, Tensor)}
