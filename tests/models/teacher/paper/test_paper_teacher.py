"""The files of a teacher of the paper's own kind, with the light networks in their places."""

import pytest
import torch

from fewpose.models.lifting import Lifter
from fewpose.models.teacher.paper import paper_teacher
from fewpose.models.teacher.three_stages import find_people


def test_a_teacher_comes_back_as_it_was_saved(tmp_path):
    detector = paper_teacher.new_detector("light", 64, seed=1)
    assert all(p.requires_grad for p in detector.parameters())  # nothing to begin with
    pose, lifter = paper_teacher.new_pose_network("light", 17, seed=1), Lifter(8)
    for module in (detector.eval(), pose.eval(), lifter.eval()):
        for name, value in module.state_dict().items():
            if "num_batches" not in name:
                value.copy_(value.half())  # as the files keep them
    images = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8)
    with torch.no_grad():
        before = detector.boxes(images.float())[0]
        maps = pose(images.float() / 255)[0]
    files = paper_teacher.save_teacher(tmp_path, "light", detector, pose, (64, 32), lifter, {"a": 1})
    assert [path.name for path in files] == [f"{name}.safetensors" for name in paper_teacher.STAGES]
    teacher = paper_teacher.load_teacher(tmp_path)
    assert teacher.crop == (64, 32) and teacher.detector.side == 64
    with torch.no_grad():
        after = teacher.detector.boxes(images.float())[0]
        torch.testing.assert_close(teacher.pose(images.float() / 255)[0], maps)
    torch.testing.assert_close(after[1], before[1], atol=1e-3, rtol=1e-2)
    assert len(find_people(teacher.plain(), images)) == 1


def test_what_is_no_teacher_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no weights file .*detector\.safetensors"):
        paper_teacher.load_teacher(tmp_path)
    with pytest.raises(ValueError, match="network is one of light, paper, not 'huge'"):
        paper_teacher.new_detector("huge", 64)
    pose, lifter = paper_teacher.new_pose_network("light", 17), Lifter(8)
    paper_teacher.save_teacher(tmp_path, "light", pose, pose, (64, 32), lifter, {})
    with pytest.raises(ValueError, match=r"detector\.safetensors is not a detector"):
        paper_teacher.load_teacher(tmp_path)


def test_the_papers_sizes():
    with torch.device("meta"):
        detector, pose = (make(*a) for make, a in zip(paper_teacher.NETWORKS["paper"], ((), (17,)), strict=True))
    sizes = [sum(p.numel() for p in m.parameters()) for m in (detector, pose, Lifter(1024))]
    assert 2.0e8 < sum(sizes) < 2.6e8  # 250.1 M in the paper
