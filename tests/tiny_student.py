"""A student small enough to train in seconds."""

import torch

from fewpose.models.student.keypoint_rcnn import Student
from tiny_cascade import ANCHORS, TinyBackbone


def tiny_student(branches="double", seed=0, **options):
    torch.manual_seed(seed)
    given = dict(
        side=64,
        longest=128,
        anchors=ANCHORS,
        proposals=(30, 20),
        samples=16,
        detections=8,
        representation=16,
        layers=(8,),
        lifter=8,
    )
    return Student(TinyBackbone(), branches, **{**given, **options})
