"""Loading of PyTorch checkpoints, in particular those of the official HRNet and HigherHRNet."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from fewpose.models.higher_hrnet import HigherHRNet
from fewpose.models.weights import LoadReport, take


def load_official(model: HigherHRNet, state_dict: Mapping, backbone_only: bool = False) -> LoadReport:
    """Load an official HigherHRNet or HRNet (pose or classification) state dict into the model.

    Names may have the prefixes of wrappers ("module.", "1."), and a training checkpoint may hold the weights under
    "state_dict". `backbone_only` does not load the head, as in the sports paper, whose keypoints differ. The report
    lists what does not fit.

    Official HigherHRNets have tag maps, which their deconvolution reads. The model gets them too, so that its heat maps
    are the same, but still returns heat maps only. ValueError if no weight fits.
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
            f"Nothing in this state dict fits a HigherHRNet of width {model.width}: of its {len(given)} tensors "
            f"the first is '{next(iter(given), 'none')}', where 'conv1.weight' would be expected."
        )
    return report


def read_checkpoint(path: str) -> dict:
    """The state dict of a PyTorch checkpoint; ValueError naming the file if it cannot be read."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds of errors that all mean this
        raise ValueError(f"{path} cannot be read as a PyTorch checkpoint: {error}") from error


def _official_names(state_dict: Mapping) -> dict[str, Tensor]:
    for wrapper in ("state_dict", "model"):
        if isinstance(state_dict.get(wrapper), Mapping):
            state_dict = state_dict[wrapper]
    return {
        re.sub(r"^(?:(?:module|model|backbone|1)\.)+", "", name): value
        for name, value in state_dict.items()
        if isinstance(value, Tensor)
    }
