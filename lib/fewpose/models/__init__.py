"""Pose models: images in, heat maps out.

Every model takes images [N, 3, H, W] (RGB, ImageNet-normalised) and returns a list of heat maps [N, K, H/s, W/s], one
for each stride s of ``model.strides``; cell centre u of a heat map lies at pixel (u + 0.5) s - 0.5. Outputs are
linear, their targets Gaussians of peak 1.

A model that answers something else (RTMPose: bins of x and of y) brings its own ``loss``, its way to ``read`` poses
and to draw ``heat_maps``: `training.pose_loss` and `heatmaps` ask for them.
"""
