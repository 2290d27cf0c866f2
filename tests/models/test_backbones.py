import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from fewpose.models import TimmPose, load_weights, new_head, save_weights, set_dropout


@pytest.mark.parametrize(
    ("name", "deconvolutions", "options"),
    [
        ("resnet18", 3, {}),
        ("mobilenetv2_100", 3, {}),
        ("convnext_atto", 3, {}),
        ("swin_tiny_patch4_window7_224", 3, {"img_size": (64, 96), "depths": (1, 1, 1, 1)}),
        ("vit_tiny_patch16_224", 2, {"img_size": (64, 96), "depth": 2}),
    ],
)
def test_heat_maps_at_a_quarter(name, deconvolutions, options):
    model = TimmPose(name, 14, channels=32, **options)
    assert len(model.deconvolutions) == 4 * deconvolutions and model.strides == (4,)
    (maps,) = model(torch.randn(2, 3, 64, 96))
    assert maps.shape == (2, 14, 16, 24)
    ((maps - 1) ** 2).mean().backward()
    assert next(model.backbone.parameters()).grad is not None


def test_torchvision_mobilenet_gives_the_same_features(tmp_path):
    reference = torchvision.models.mobilenet_v2(weights=None)
    reference(torch.randn(4, 3, 64, 64))  # batch-norm statistics unlike the initial ones
    torch.save(reference.eval().state_dict(), tmp_path / "mobilenet_v2.pth")
    model = TimmPose("mobilenetv2_100", 14, weights=tmp_path / "mobilenet_v2.pth").eval()
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(
            model.backbone(x)[-1], reference.features[:18](x), atol=1e-5, rtol=1e-4
        )


def test_files_of_timm_load_by_name(tmp_path):
    for name in ("resnet18", "convnext_atto"):
        reference = timm.create_model(name, pretrained=False).eval()
        save_file(reference.state_dict(), tmp_path / f"{name}.safetensors")
        model = TimmPose(name, 3, weights=tmp_path / f"{name}.safetensors").eval()
        x = torch.randn(1, 3, 64, 64)
        with torch.no_grad():
            true = reference.forward_features(x)
            if name == "resnet18":
                torch.testing.assert_close(model.backbone(x)[-1], true)
        own = {k.replace(".", "_"): v for k, v in reference.state_dict().items()}
        for key, value in model.backbone.state_dict().items():
            assert torch.equal(value, own[key.replace(".", "_")])


def test_bad_files_and_names(tmp_path):
    with pytest.raises(ValueError, match="no feature backbone 'resnet1'"):
        TimmPose("resnet1", 3)
    with pytest.raises(ValueError, match=r"no weights file .*absent\.pth"):
        TimmPose("resnet18", 3, weights=tmp_path / "absent.pth")
    for name in ("broken.pth", "broken.safetensors"):
        (tmp_path / name).write_bytes(b"<html>")
        with pytest.raises(ValueError, match=name):
            TimmPose("resnet18", 3, weights=tmp_path / name)
    other = tmp_path / "other.pth"
    torch.save(timm.create_model("resnet34", pretrained=False).state_dict(), other)
    with pytest.raises(ValueError, match=r"other\.pth does not fit"):
        TimmPose("resnet50", 3, weights=other)
    torch.save([1, 2], other)
    with pytest.raises(ValueError, match=r"other\.pth holds no state dict but a list"):
        TimmPose("resnet18", 3, weights=other)


def test_new_head_dropout_and_own_weights(tmp_path):
    model = set_dropout(TimmPose("resnet18", 17, channels=16), 0.5)
    x = torch.randn(1, 3, 64, 64)
    assert not torch.equal(model(x)[0], model(x)[0])
    file = save_weights(model, tmp_path / "a.safetensors")
    other = new_head(TimmPose("resnet18", 17, channels=16), 4)
    report = load_weights(other, file, backbone_only=True)
    assert set(report.missing) == {k for k in other.state_dict() if not k.startswith("backbone.")}
    assert other(x)[0].shape == (1, 4, 16, 16)
