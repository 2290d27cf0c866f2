"""Official HRNet and HigherHRNet checkpoints, by their own parameter names."""

import re
from collections.abc import Mapping

from torch import Tensor

from fewpose.models.higher_hrnet import HigherHRNet
from fewpose.models.weights import LoadReport, take


def load_official(model: HigherHRNet, state_dict: Mapping, backbone_only: bool = False) -> LoadReport:
    """Load an official HigherHRNet or HRNet (pose or classification) state dict into the model.

    Names may carry the prefixes of wrappers ("module.", "1."); a whole training checkpoint with the weights under
    "state_dict" will do. ``backbone_only`` leaves the head out, as the sports paper does for its other keypoints;
    what does not fit is listed in the report.

    Official HigherHRNets have tag maps, and their deconvolution reads them: a model made without tags computes them
    from then on, gives the same heat maps, and still returns heat maps only. Raises ValueError if no weight fits.
    """
    given = _official_names(state_dict)
    heads = [given.get(f"final_layers.{i}.weight") for i in (0, 1)]
    if not backbone_only and all(isinstance(head, Tensor) for head in heads):
        maps, keypoints = (head.shape[0] for head in heads)
        own = model.final_layers[0].out_channels
        if keypoints == model.keypoints and maps == 2 * keypoints and own == keypoints:
            model.new_head(keypoints, tag_maps=True)
    report = take(model, given, backbone_only)
    if not any(name.endswith(".weight") for name in report.taken):
        raise ValueError(
            f"Nothing in this state dict fits a HigherHRNet of width {model.width}: it has "
            f"{len(given)} tensors, the first is "
            f"'{next(iter(given), 'none')}', where 'conv1.weight' would be expected."
        )
    return report


def _official_names(state_dict: Mapping) -> dict[str, Tensor]:
    for wrapper in ("state_dict", "model"):
        if isinstance(state_dict.get(wrapper), Mapping):
            state_dict = state_dict[wrapper]
    return {
        re.sub(r"^(?:(?:module|model|backbone|1)\.)+", "", name): value
        for name, value in state_dict.items()
        if isinstance(value, Tensor)
    }
