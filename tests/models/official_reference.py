"""The official HigherHRNet, written once more from its description for the tests to compare with.

Names and shapes of its parameters come from loops over the published structure, its forward is a
function over a state dict: neither knows the library's modules.
"""

import torch
import torch.nn.functional as F


def shapes(keypoints: int = 17, width: int = 32, tags: bool = True) -> dict[str, tuple]:
    """Name → shape of every parameter and buffer of w32_512_adam_lr1e-3 (or another width)."""
    found: dict[str, tuple] = {}

    def conv(name, outputs, inputs, kernel):
        found[f"{name}.weight"] = (outputs, inputs, kernel, kernel)

    def norm(name, channels):
        for part in ("weight", "bias", "running_mean", "running_var"):
            found[f"{name}.{part}"] = (channels,)
        found[f"{name}.num_batches_tracked"] = ()

    def basic(name, channels):
        for i in (1, 2):
            conv(f"{name}.conv{i}", channels, channels, 3)
            norm(f"{name}.bn{i}", channels)

    conv("conv1", 64, 3, 3), norm("bn1", 64), conv("conv2", 64, 64, 3), norm("bn2", 64)
    for b in range(4):
        name = f"layer1.{b}"
        conv(f"{name}.conv1", 64, 64 if b == 0 else 256, 1), norm(f"{name}.bn1", 64)
        conv(f"{name}.conv2", 64, 64, 3), norm(f"{name}.bn2", 64)
        conv(f"{name}.conv3", 256, 64, 1), norm(f"{name}.bn3", 256)
    conv("layer1.0.downsample.0", 256, 64, 1), norm("layer1.0.downsample.1", 256)

    c = [width, 2 * width, 4 * width, 8 * width]
    conv("transition1.0.0", c[0], 256, 3), norm("transition1.0.1", c[0])
    conv("transition1.1.0.0", c[1], 256, 3), norm("transition1.1.0.1", c[1])
    for t in (2, 3):
        conv(f"transition{t}.{t}.0.0", c[t], c[t - 1], 3), norm(f"transition{t}.{t}.0.1", c[t])
    for stage, modules in ((2, 1), (3, 4), (4, 3)):
        for m in range(modules):
            name = f"stage{stage}.{m}"
            for i in range(stage):
                for b in range(4):
                    basic(f"{name}.branches.{i}.{b}", c[i])
            outputs = 1 if (stage, m) == (4, 2) else stage
            for i in range(outputs):
                for j in range(stage):
                    fuse = f"{name}.fuse_layers.{i}.{j}"
                    if j > i:
                        conv(f"{fuse}.0", c[i], c[j], 1), norm(f"{fuse}.1", c[i])
                    for k in range(i - j):
                        to = c[i] if k == i - j - 1 else c[j]
                        conv(f"{fuse}.{k}.0", to, c[j], 3), norm(f"{fuse}.{k}.1", to)
    maps = 2 * keypoints if tags else keypoints
    conv("final_layers.0", maps, width, 1), conv("final_layers.1", keypoints, width, 1)
    found["final_layers.0.bias"], found["final_layers.1.bias"] = (maps,), (keypoints,)
    found["deconv_layers.0.0.0.weight"] = (width + maps, width, 4, 4)
    norm("deconv_layers.0.0.1", width)
    for b in range(4):
        basic(f"deconv_layers.0.{b + 1}.0", width)
    return found


def random_state(seed: int = 0, **how) -> dict[str, torch.Tensor]:
    """A state dict with random weights and batch-norm statistics unlike the initial ones."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes(**how).items():
        kind = name.rsplit(".", 1)[1]
        if kind == "num_batches_tracked":
            state[name] = torch.tensor(7)
        elif len(shape) == 4:
            fan = shape[1] * shape[2] * shape[3]
            state[name] = torch.randn(shape, generator=generator) / fan**0.5
        elif kind == "running_var":
            state[name] = 0.5 + torch.rand(shape, generator=generator)
        elif kind == "weight":  # small, so that sums over many blocks stay near 1
            state[name] = 0.2 + 0.3 * torch.rand(shape, generator=generator)
        else:
            state[name] = 0.1 * torch.randn(shape, generator=generator)
    return state


def forward(state: dict[str, torch.Tensor], x: torch.Tensor) -> list[torch.Tensor]:
    """Outputs of the official network in evaluation: [N, 2K, H/4, W/4] and [N, K, H/2, W/2]."""

    def conv(name, x, stride=1):
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight, state.get(f"{name}.bias"), stride, weight.shape[-1] // 2)

    def norm(name, x):
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        scale = state[f"{name}.weight"] / (var + 1e-5).sqrt()
        shift = state[f"{name}.bias"] - mean * scale
        return x * scale[None, :, None, None] + shift[None, :, None, None]

    def basic(name, x):
        y = norm(f"{name}.bn1", conv(f"{name}.conv1", x)).relu()
        return (x + norm(f"{name}.bn2", conv(f"{name}.conv2", y))).relu()

    def bottleneck(name, x):
        y = norm(f"{name}.bn1", conv(f"{name}.conv1", x)).relu()
        y = norm(f"{name}.bn2", conv(f"{name}.conv2", y)).relu()
        y = norm(f"{name}.bn3", conv(f"{name}.conv3", y))
        if f"{name}.downsample.0.weight" in state:
            x = norm(f"{name}.downsample.1", conv(f"{name}.downsample.0", x))
        return (x + y).relu()

    def module(name, xs):
        for i in range(len(xs)):
            for b in range(4):
                xs[i] = basic(f"{name}.branches.{i}.{b}", xs[i])
        fused = []
        for i in range(len(xs)):
            if i and not any(key.startswith(f"{name}.fuse_layers.{i}.") for key in state):
                break
            total = 0
            for j, x in enumerate(xs):
                fuse = f"{name}.fuse_layers.{i}.{j}"
                if j > i:
                    x = norm(f"{fuse}.1", conv(f"{fuse}.0", x))
                    x = x.repeat_interleave(2 ** (j - i), 2).repeat_interleave(2 ** (j - i), 3)
                for k in range(i - j):
                    x = norm(f"{fuse}.{k}.1", conv(f"{fuse}.{k}.0", x, stride=2))
                    x = x if k == i - j - 1 else x.relu()
                total = total + x
            fused.append(total.relu())
        return fused

    x = norm("bn1", conv("conv1", x, stride=2)).relu()
    x = norm("bn2", conv("conv2", x, stride=2)).relu()
    for b in range(4):
        x = bottleneck(f"layer1.{b}", x)
    xs = [
        norm("transition1.0.1", conv("transition1.0.0", x)).relu(),
        norm("transition1.1.0.1", conv("transition1.1.0.0", x, stride=2)).relu(),
    ]
    xs = module("stage2.0", xs)
    for stage, modules in ((3, 4), (4, 3)):
        t = f"transition{stage - 1}.{stage - 1}.0"
        xs = [*xs, norm(f"{t}.1", conv(f"{t}.0", xs[-1], stride=2)).relu()]
        for m in range(modules):
            xs = module(f"stage{stage}.{m}", xs)
    quarter = conv("final_layers.0", xs[0])
    x = torch.cat([xs[0], quarter], 1)
    x = F.conv_transpose2d(x, state["deconv_layers.0.0.0.weight"], stride=2, padding=1)
    x = norm("deconv_layers.0.0.1", x).relu()
    for b in range(4):
        x = basic(f"deconv_layers.0.{b + 1}.0", x)
    return [quarter, conv("final_layers.1", x)]
