"""What pytest needs to know of the notebooks and of machines without a GPU."""

import pytest


def pytest_collectstart(collector):
    # Progress bars and warnings go to stderr with timings in them: never compared by nbval.
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr",)


def pytest_collection_modifyitems(items):
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs CUDA"))
