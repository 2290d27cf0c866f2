"""Values of parameters that no run can use, refused before any work with the nearest that works."""

from __future__ import annotations

DATASETS = {  # data set: parameters that it does not use
    "jump": ("data_path", "raw_path"),
    "lsp": ("frames", "videos", "world_seed", "raw_rate", "size", "width"),
    "custom": ("frames", "videos", "world_seed", "raw_rate"),
}
NETWORKS = ("movenet", "w32", "rtmpose_s")
AT_LEAST = {
    **dict.fromkeys(("batch_size", "evaluate_every", "patience", "frames"), 1),
    **dict.fromkeys(("labels", "width", "raw_every", "cached_views", "augmentations", "label_repeats", "steps"), 0),
}
STRIDE = 32  # sides of images that the sports networks read are multiples of it


def check_values(values: dict, given: set[str], where: str) -> None:
    """ValueError for a number below what works, a size that the network cannot take, a parameter that is not used.

    `values` are all parameters of a run, `given` those that differ from the notebook's; `where` begins the message.
    """
    for name, least in AT_LEAST.items():
        if isinstance(values.get(name), int) and values[name] < least:
            raise ValueError(f"{where}: {name} is {values[name]}, the least that works is {least}")
    if isinstance(values.get("learning_rate"), int | float) and not values["learning_rate"] > 0:
        raise ValueError(f"{where}: learning_rate is {values['learning_rate']}, it must be above 0, as 0.001")
    dataset = values.get("dataset")
    if dataset is None:
        return
    if dataset not in DATASETS:
        raise ValueError(f"{where}: dataset is one of {', '.join(DATASETS)}, not {dataset!r}")
    unused = sorted(given.intersection(DATASETS[dataset]))
    if unused and not (dataset == "lsp" and (values.get("size"), values.get("width")) == (256, 192)):
        raise ValueError(f"{where}: {unused[0]} is not used with dataset {dataset!r}: remove it, or change dataset")
    if dataset != "lsp":
        check_size(values, where)
        if dataset == "custom" and not values.get("data_path"):
            raise ValueError(f"{where}: dataset 'custom' needs data_path, the folder of annotations.json")


def check_size(values: dict, where: str) -> None:
    """ValueError for a size or width that the network cannot take."""
    network, size, width = (values.get(name) for name in ("network", "size", "width"))
    if network not in NETWORKS or not isinstance(size, int):
        return
    if network == "rtmpose_s":
        if (size, width) != (256, 192):
            raise ValueError(f"{where}: rtmpose_s reads size 256 and width 192, not {size} and {width}")
        return
    for name, side in (("size", size), ("width", width or STRIDE)):  # 0: squares of `size`
        if side % STRIDE or side < STRIDE:
            nearest = max(1, round(side / STRIDE)) * STRIDE
            raise ValueError(
                f"{where}: {name} is {side}, {network} reads multiples of {STRIDE}: the nearest is {nearest}"
            )
