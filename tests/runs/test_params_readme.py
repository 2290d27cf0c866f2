"""params/README.md explains every parameter and every profile, and no other, with the notebooks' defaults."""

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
    defaults: dict[str, set[str]] = {}
    for path in paths:
        for name, value in notebook_parameters(path).items():
            defaults.setdefault(name, set()).add(repr(value).replace("'", '"'))
    assert sorted(explained) == sorted(defaults)
    given = re.findall(r"^\| `(\w+)` .* \| ([^|]+) \|$", "\n".join(groups), flags=re.M)
    assert {name: set(re.findall("`(.*?)`", values)) for name, values in given} == defaults


def test_profiles_are_explained_as_their_files_do():
    """Each file begins with the text of its row."""
    text = (ROOT / "params" / "README.md").read_text(encoding="utf-8")
    for name, explained in re.findall(r"^\| `(\w+)` \| (.*) \| .* \|$", text.split("\n## ")[0], flags=re.M):
        file = (ROOT / "params" / f"{name}.yaml").read_text(encoding="utf-8")
        comment = re.match(r"(#.*\n)+", file)
        words = " ".join(comment[0].replace("\n# ", " ").strip("# \n").split())
        assert words == explained, name
