"""Human pose estimation from few or no labels: two papers, reproduced as notebooks over this thin library."""

__version__ = "0.1.0"
