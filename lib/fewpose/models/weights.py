"""Weights on disk: safetensors with a JSON description, checked before they are loaded.

Also the weights that the package ships (`shipped`); for those that are downloaded see `download`.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from fewpose.disk import write_bytes, write_text

SHIPPED = Path(__file__).parent / "files"


@dataclass(frozen=True)
class LoadReport:
    """Which weights of a checkpoint were loaded; prints as a few lines.

    `taken` and `missing` name parameters of the model, `refused` maps names in the checkpoint to the reason why they
    were not, or only partly, loaded.
    """

    taken: tuple[str, ...]
    missing: tuple[str, ...] = ()
    refused: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [
            f"{len(self.taken)} tensors taken, {len(self.missing)} of the model missing, "
            f"{len(self.refused)} of the file refused"
        ]
        if self.missing:
            lines.append("missing: " + _shorten(self.missing))
        reasons: dict[str, list[str]] = {}
        for name, reason in self.refused.items():
            reasons.setdefault(reason, []).append(name)
        lines += [f"refused ({why}): {_shorten(names)}" for why, names in reasons.items()]
        return "\n".join(lines)


def take(model: nn.Module, given: Mapping[str, Tensor], backbone_only: bool = False) -> LoadReport:
    """Copy the tensors of `given` that fit by name and shape into the model.

    With `backbone_only` the model keeps its head: the parameters of `model.head` and, of `model.reads_head`, the inputs
    that are heat maps.
    """
    own = model.state_dict()
    taken, partly, refused = [], {}, {}
    for name, value in given.items():
        if name not in own:
            refused[name] = "the model has no such parameter"
        elif backbone_only and name.startswith(model.head):
            refused[name] = "belongs to the head"
        elif backbone_only and name in model.reads_head and value.ndim == own[name].ndim:
            features = model.reads_head[name]
            if value.shape[0] < features or value.shape[1:] != own[name].shape[1:]:
                refused[name] = _shapes(value, own[name])
                continue
            partly[name] = features
            refused[name] = f"only its first {features} inputs, the features, were taken"
        elif value.shape != own[name].shape:
            refused[name] = _shapes(value, own[name])
        else:
            taken.append(name)
    with torch.no_grad():
        for name in taken:
            own[name].copy_(given[name])
        for name, features in partly.items():
            own[name][:features].copy_(given[name][:features])
    missing = tuple(name for name in own if name not in taken and name not in partly)
    return LoadReport((*taken, *partly), missing, refused)


def save_weights(
    model: nn.Module, path: str | Path, meta: dict | None = None, half: bool = False, parts: tuple[str, ...] = ("",)
) -> Path:
    """Write the model's weights and `meta` (JSON types) to a safetensors file, atomically.

    `half` stores floating-point numbers in 16 bits. `parts` keeps only the tensors whose names have one of these
    prefixes, for `load_part`. The description also holds the model's class, `config` and number of keypoints.
    """
    state = model.state_dict().items()
    tensors = {name: value.detach().cpu() for name, value in state if name.startswith(parts)}
    if half:
        tensors = {name: _halved(value) for name, value in tensors.items()}
    about = {**(meta or {}), "model": type(model).__name__, "config": dict(model.config), "keypoints": model.keypoints}
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.contiguous() for name, value in tensors.items()}
    write_bytes(path, save(tensors, metadata={"fewpose": json.dumps(about)}))
    return path


def read_meta(path: str | Path) -> dict:
    """The description in a weights file: model, config, keypoints and the `meta` given to `save_weights`."""
    return _read(Path(path), tensors=False)[0]


def load_weights(model: nn.Module, path: str | Path, backbone_only: bool = False) -> LoadReport:
    """Load all weights of a file of `save_weights` into the model, and report what was loaded.

    With `backbone_only` the file may be for other keypoints, and the model keeps its head. ValueError naming the file
    if it is absent, damaged, of another model or another number of keypoints; the model is then unchanged.
    """
    about, given = _read(Path(path))
    if about.get("model") != type(model).__name__:
        raise ValueError(f"{path} holds a {about.get('model')}, the model is a {type(model).__name__}.")
    if not backbone_only and about["keypoints"] != model.keypoints:
        raise ValueError(
            f"{path} is for {about['keypoints']} keypoints, the model has {model.keypoints}: load "
            f"with backbone_only=True to keep the model's own head."
        )
    for name, own in model.state_dict().items():
        belongs_to_head = name.startswith(model.head) or name in model.reads_head
        fits = name in given and given[name].shape == own.shape
        if not fits and not (backbone_only and belongs_to_head):
            why = _shapes(given[name], own) if name in given else "it is not there"
            raise ValueError(
                f"{path} does not fit the model at '{name}': {why}. The file's model was made "
                f"with {about.get('config')}."
            )
    for name, value in given.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise ValueError(f"{path} holds numbers that are not finite in '{name}'.")
    return take(model, given, backbone_only)


def load_part(model: nn.Module, path: str | Path) -> LoadReport:
    """Load a file that holds a part of the model (see `save_weights`), and report what was loaded.

    ValueError naming the file if it is absent, damaged, of another model, or if one of its tensors does not fit; the
    model is then unchanged.
    """
    about, given = _read(Path(path))
    if about.get("model") != type(model).__name__:
        raise ValueError(f"{path} holds a part of a {about.get('model')}, the model is a {type(model).__name__}.")
    own = model.state_dict()
    for name, value in given.items():
        if name not in own or own[name].shape != value.shape:
            raise ValueError(f"{path} does not fit the model at '{name}'.")
    return take(model, given)


def shipped(name: str) -> Path:
    """The path of weights that are shipped with the package, checked by sha256.

    ValueError if there are none of this name or the file is damaged.
    """
    index = SHIPPED / "sha256.json"
    sums = json.loads(index.read_text(encoding="utf-8")) if index.exists() else {}
    file = f"{name}.safetensors"
    if file not in sums:
        there = ", ".join(sorted(Path(other).stem for other in sums)) or "none"
        raise ValueError(f"No weights named '{name}' are shipped; there are: {there}.")
    check_sha256(SHIPPED / file, sums[file])
    return SHIPPED / file


def ship(path: str | Path, name: str) -> Path:
    """Put a weights file among the shipped ones (at most 10 MB) and record its sha256."""
    content = Path(path).read_bytes()
    if len(content) > 10e6:
        raise ValueError(f"{path} has {len(content) / 1e6:.1f} MB; shipped weights have at most 10.")
    read_meta(path)
    SHIPPED.mkdir(exist_ok=True)
    target, index = SHIPPED / f"{name}.safetensors", SHIPPED / "sha256.json"
    write_bytes(target, content)
    sums = json.loads(index.read_text(encoding="utf-8")) if index.exists() else {}
    sums[target.name] = hashlib.sha256(content).hexdigest()
    write_text(index, json.dumps(dict(sorted(sums.items())), indent=2) + "\n")
    return target


def check_sha256(path: str | Path, expected: str) -> None:
    """ValueError naming the file unless it is there and has this sha256."""
    if not Path(path).is_file():
        raise ValueError(f"There is no weights file {path}.")
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise ValueError(f"{path} is damaged or another file: its sha256 is {found}, expected {expected}.")


def _read(path: Path, tensors: bool = True) -> tuple[dict, dict[str, Tensor]]:
    if not path.is_file():
        raise ValueError(f"There is no weights file {path}.")
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("fewpose", "null"))
            given = {name: file.get_tensor(name) for name in file.keys()} if tensors else {}
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path} is not a readable safetensors file ({error}).") from error
    if not isinstance(about, dict) or not isinstance(about.get("keypoints"), int):
        raise ValueError(f"{path} was not written by fewpose: its description is missing.")
    return about, given


def _halved(value: Tensor) -> Tensor:
    small = value.half() if value.is_floating_point() else value
    # a variance beyond the range of float16 stays as it is
    return small if torch.isfinite(small).all() else value


def _shapes(given: Tensor, own: Tensor) -> str:
    return f"shape {tuple(given.shape)}, the model has {tuple(own.shape)}"


def _shorten(names, limit: int = 6) -> str:
    names = list(names)
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if names[limit:] else "")
