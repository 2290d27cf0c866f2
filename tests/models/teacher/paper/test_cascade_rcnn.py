"""The cascade against torchvision's Faster R-CNN, by hand, and on a task small enough to learn."""

import pytest
import torch
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.ops import MultiScaleRoIAlign, box_iou

from fewpose.augment import MEAN, STD
from fewpose.models.teacher.paper.cascade_rcnn import assign, light_cascade, regress, resnext152_cascade
from fewpose.models.weights import load_weights, save_weights
from tiny_cascade import ANCHORS, TinyBackbone, tiny


def faster_rcnn(model):
    """Torchvision's own detector with the weights of a cascade of one stage."""
    ratios = ((0.5, 1.0, 2.0),) * 5
    other = FasterRCNN(
        TinyBackbone(),
        min_size=64,
        max_size=96,
        image_mean=MEAN,
        image_std=STD,
        rpn_anchor_generator=AnchorGenerator(tuple((a,) for a in ANCHORS), ratios),
        rpn_pre_nms_top_n_train=60,
        rpn_pre_nms_top_n_test=40,
        rpn_post_nms_top_n_train=30,
        rpn_post_nms_top_n_test=20,
        box_batch_size_per_image=32,
        box_detections_per_img=10,
        box_roi_pool=MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2),
        box_head=TwoMLPHead(8 * 49, 16),
        box_predictor=FastRCNNPredictor(16, 2),
    )
    names = {f"heads.stages.0.{n}": f"roi_heads.{n}" for n in other.roi_heads.state_dict()}
    other.load_state_dict({names.get(k, k): v for k, v in model.state_dict().items()})
    return other


IMAGES = torch.randint(0, 256, (2, 3, 64, 96), generator=torch.Generator().manual_seed(1)).float()
BOXES = [torch.tensor([[8.0, 8, 30, 50], [50, 10, 80, 60]]), torch.zeros(0, 4)]


def test_one_stage_is_torchvisions_faster_rcnn():
    model = tiny(stages=1).eval()
    other = faster_rcnn(model).eval()
    with torch.no_grad():
        ours, theirs = model(IMAGES), other(list(IMAGES / 255))
    assert any(len(t["boxes"]) for t in theirs)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a["boxes"], b["boxes"], atol=1e-3, rtol=1e-4)
        torch.testing.assert_close(a["scores"], b["scores"], atol=1e-5, rtol=1e-4)


def test_losses_of_one_stage_are_torchvisions():
    model = tiny(stages=1).train()
    other = faster_rcnn(model).train()
    torch.manual_seed(5)
    ours = model(IMAGES, BOXES)
    torch.manual_seed(5)
    targets = [{"boxes": b, "labels": torch.ones(len(b), dtype=torch.int64)} for b in BOXES]
    theirs = other(list(IMAGES / 255), targets)
    names = {"classes_1": "loss_classifier", "boxes_1": "loss_box_reg"}
    assert len(ours) == len(theirs)
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[names.get(name, name)], atol=1e-5, rtol=1e-4)


def test_each_stage_has_its_threshold_and_weights():
    model = tiny()
    stages = model.heads.stages
    assert [s.proposal_matcher.high_threshold for s in stages] == [0.5, 0.6, 0.7]
    assert [s.box_coder.weights[0] for s in stages] == [10, 20, 30]
    # a box that overlaps the ground truth by 0.65 is a person for the first two stages alone
    ground_truth, box = torch.tensor([[0.0, 0, 100, 100]]), torch.tensor([[0.0, 0, 100, 65]])
    assert box_iou(ground_truth, box).item() == pytest.approx(0.65)
    targets = [{"boxes": ground_truth, "labels": torch.ones(1, dtype=torch.int64)}]
    assert [assign(s, [box], targets)[0][0].item() for s in stages] == [1, 1, 0]
    # dh = log(100 / 65) times the weight; regressing by it gives the ground truth back
    labels, goals = assign(stages[1], [box], targets)
    assert goals[0][0, 3].item() == pytest.approx(10 * torch.tensor(100 / 65).log().item(), 1e-5)
    deltas = torch.cat([torch.zeros(1, 4), goals[0]], 1)
    torch.testing.assert_close(regress(stages[1], deltas, [box], [(120, 120)])[0], ground_truth)


def test_all_stages_have_losses_and_gradients_also_without_people():
    model = tiny().train()
    losses = model(IMAGES, [torch.zeros(0, 4)] * 2)
    sum(losses.values()).backward()
    assert {"loss_objectness", "loss_rpn_box_reg"} <= set(losses)
    assert {f"{n}_{t}" for n in ("classes", "boxes") for t in (1, 2, 3)} <= set(losses)
    assert all(torch.isfinite(v) for v in losses.values())
    for stage in model.heads.stages:
        assert stage.box_predictor.cls_score.weight.grad.abs().sum() > 0


def test_any_size_and_no_detection():
    model = tiny().eval()
    found = model.boxes(torch.zeros(1, 3, 37, 51))
    assert found[0][0].shape[1] == 4 and (found[0][0][:, 2] <= 51).all()
    for stage in model.heads.stages:
        nn.init.constant_(stage.box_predictor.cls_score.bias[1:], -50.0)
    boxes, scores = model.boxes(torch.zeros(1, 3, 64, 64))[0]
    assert boxes.shape == (0, 4) and scores.shape == (0,)


@pytest.fixture
def one_thread():
    """Sums in one order, whatever the machine, and no threads that wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_it_learns_where_the_bright_rectangles_are(one_thread):
    images, boxes = torch.full((2, 3, 64, 64), 60.0), []
    for i, (x, y) in enumerate(((4, 6), (30, 18))):
        boxes.append(torch.tensor([[x, y, x + 20.0, y + 34.0]]))
        images[i, :, y : y + 34, x : x + 20] = 230
    model, steps = tiny(seed=0).train(), 160
    optimizer = torch.optim.AdamW(model.parameters())
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        sum(model(images, boxes).values()).backward()
        optimizer.step()
        rate.step()
    model.eval()
    for (found, scores), ground_truth in zip(model.boxes(images), boxes, strict=True):
        assert scores[0] > 0.3 and box_iou(found[:1], ground_truth).item() > 0.7


def test_profiles(tmp_path):
    light = light_cascade()
    parameters = sum(p.numel() for p in light.parameters())
    assert parameters < 4e6  # 8 MB in 16 bits
    path = save_weights(light, tmp_path / "cascade.safetensors", half=True)
    assert path.stat().st_size < 8e6
    report = load_weights(light_cascade(seed=1), path)
    assert not report.missing and not report.refused
    with torch.device("meta"):
        large = resnext152_cascade()
    assert 1.4e8 < sum(p.numel() for p in large.parameters()) < 2e8


def test_a_file_that_is_no_backbone_is_named(tmp_path):
    torch.save({"conv1.weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth does not fit the detector's backbone"):
        light_cascade(tmp_path / "other.pth")
