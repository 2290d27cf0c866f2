"""params/README.md explains every parameter and every profile, and no other."""

import re
from pathlib import Path

from fewpose_runs.profiles import notebook_parameters, profiles

ROOT = Path(__file__).parents[2]


def test_every_parameter_and_profile_is_explained():
    text = (ROOT / "params" / "README.md").read_text(encoding="utf-8")
    about, *groups = text.split("\n## ")
    assert re.findall(r"^\| `(\w+)`", about, flags=re.M) == profiles()
    explained = re.findall(r"^\| `(\w+)`", "\n".join(groups), flags=re.M)
    paths = [p for p in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts]
    assert sorted(explained) == sorted({name for path in paths for name in notebook_parameters(path)})
