"""Damage inputs at random, with a seed, and count what becomes of them; the table goes to results.md beside this.

    python tests/campaign [--count 200] [--seed 0]

same     the result of the undamaged input
refused  an error of one sentence that names the file
told     another result, and a warning that says what was left out or repaired
pixels   other pixels, as many and at the same times: JPEG and H.264 have no checksum, no reader can know
silent   another result and not a word
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "lib")]

from campaign.inputs import damaged_images, damaged_videos, mutated_files  # noqa: E402

OUTCOMES = ("same", "refused", "told", "pixels", "silent")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="inputs over all kinds (200)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--table", type=Path, default=HERE / "results.md")
    args = parser.parse_args()
    parts = {
        "label files, one key dropped, doubled, retyped or renamed": (mutated_files, args.count // 2),
        "images (JPEG, PNG), bytes overwritten or cut off": (damaged_images, args.count // 4),
        "videos (H.264), bytes overwritten or cut off": (damaged_videos, args.count // 4),
    }
    lines = [f"Seed {args.seed}.", "", f"| input | {' | '.join(OUTCOMES)} |", "|---|" + "---|" * len(OUTCOMES)]
    silent = []
    for name, (part, count) in parts.items():
        outcomes = list(part(count, args.seed))
        table = Counter(outcome for outcome, _ in outcomes)
        silent += [what for outcome, what in outcomes if outcome == "silent"]
        lines.append(f"| {name} | {' | '.join(str(table[outcome]) for outcome in OUTCOMES)} |")
        print(lines[-1], flush=True)
    args.table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(["", *silent]))
    return len(silent)


if __name__ == "__main__":
    sys.exit(main())
