"""Pose models: images in, poses out.

`pose_model.PoseModel` says what every model of one person's pose can do; most have outputs that are heat maps, RTMPose
rows of bins. Cell centre u of a heat map of stride s lies at pixel (u + 0.5) s - 0.5.
"""
