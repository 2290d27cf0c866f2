"""Pose models: images in, poses out.

`pose_model.PoseModel` is the interface of all models of one person's pose; most predict heat maps, RTMPose rows of
bins. The centre of cell u of a heat map of stride s is at pixel (u + 0.5) s - 0.5.
"""
