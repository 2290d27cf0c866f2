import json

import pytest
import torch
from safetensors.torch import save_file

from fewpose.models import weights as weights_module
from fewpose.models.higher_hrnet import narrow_higher_hrnet
from fewpose.models.weights import load_weights, read_meta, save_weights, shipped


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = narrow_higher_hrnet(17)
    model(torch.randn(2, 3, 64, 64))  # batch-norm statistics unlike the initial ones
    return model.eval()


@pytest.fixture()
def file(model, tmp_path):
    return save_weights(model, tmp_path / "new" / "a.safetensors", {"skeleton": "coco"})


def test_round_trip(model, file):
    other = narrow_higher_hrnet(17).eval()
    report = load_weights(other, file)
    assert not report.missing and not report.refused
    x = torch.randn(1, 3, 64, 64)
    assert all(torch.equal(a, b) for a, b in zip(model(x), other(x), strict=True))
    meta = read_meta(file)
    assert meta["skeleton"] == "coco" and meta["keypoints"] == 17
    assert meta["config"]["width"] == 16
    assert [p.name for p in file.parent.iterdir()] == ["a.safetensors"]  # nothing unfinished left


def test_half_precision_file(model, tmp_path):
    file = save_weights(model, tmp_path / "half.safetensors", half=True)
    other = narrow_higher_hrnet(17).eval()
    load_weights(other, file)
    assert other.conv1.weight.dtype == torch.float32 and file.stat().st_size < 4e6
    x = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(model(x)[0], other(x)[0], atol=2e-3, rtol=0)


def test_other_keypoints_take_all_but_the_head(model, file):
    other = narrow_higher_hrnet(20)
    head = other.final_layers[0].weight.detach().clone()
    with pytest.raises(ValueError, match=r"a\.safetensors is for 17 keypoints, the model has 20"):
        load_weights(other, file)
    report = load_weights(other, file, backbone_only=True)
    assert torch.equal(other.final_layers[0].weight, head)
    assert torch.equal(other.conv1.weight, model.conv1.weight)
    assert all(name.startswith("final_layers.") for name in report.missing)
    assert len(report.missing) == 4
    assert "4 of the model missing" in str(report)


def test_damaged_files_are_named(model, file, tmp_path):
    whole = file.read_bytes()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for broken in (whole[: len(whole) // 2], whole[:5], b"", b"<html>not found</html>"):
        file.write_bytes(broken)
        with pytest.raises(ValueError, match=r"a\.safetensors is not a readable safetensors file"):
            load_weights(model, file)
    with pytest.raises(ValueError, match=r"no weights file .*absent"):
        load_weights(model, tmp_path / "absent.safetensors")
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(2)}, foreign)
    with pytest.raises(ValueError, match=r"foreign\.safetensors was not written by fewpose"):
        load_weights(model, foreign)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_other_structure_and_non_finite_numbers_are_named(model, file, tmp_path):
    from fewpose.models.higher_hrnet import NARROW, HigherHRNet

    deeper = HigherHRNet(17, **{**NARROW, "blocks": 3})
    with pytest.raises(ValueError, match=r"a\.safetensors does not fit .*it is not there"):
        load_weights(deeper, file)
    wider = HigherHRNet(17, **{**NARROW, "width": 32})
    with pytest.raises(ValueError, match=r"a\.safetensors does not fit the model at 'transition1"):
        load_weights(wider, file)
    broken = narrow_higher_hrnet(17)
    with torch.no_grad():
        broken.conv1.weight[0, 0, 0, 0] = torch.nan
    file = save_weights(broken, tmp_path / "nan.safetensors")
    with pytest.raises(ValueError, match=r"nan\.safetensors holds numbers that are not finite"):
        load_weights(model, file)


def test_shipped_weights_are_checked(model, file, tmp_path, monkeypatch):
    monkeypatch.setattr(weights_module, "SHIPPED", tmp_path / "shipped")
    with pytest.raises(ValueError, match="'a' are shipped; there are: none"):
        shipped("a")
    weights_module.ship(file, "a")
    assert shipped("a").read_bytes() == file.read_bytes()
    assert list(json.loads((tmp_path / "shipped" / "sha256.json").read_text())) == ["a.safetensors"]
    (tmp_path / "shipped" / "a.safetensors").write_bytes(b"other")
    with pytest.raises(ValueError, match="damaged or another file"):
        shipped("a")


def test_the_weights_in_the_package_are_whole():
    index = weights_module.SHIPPED / "sha256.json"
    for file in json.loads(index.read_text()) if index.exists() else {}:
        assert shipped(file.removesuffix(".safetensors")).stat().st_size <= 10e6
