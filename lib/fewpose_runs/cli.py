"""`python -m fewpose`: the targets of make, for machines without it, and the tools for custom data."""

from __future__ import annotations

import argparse
import errno
import os
import subprocess
import sys
import warnings
from pathlib import Path

from fewpose import __version__
from fewpose_runs.profiles import profiles, repo_root

# Of `predict --format`, as in `fewpose_video`.
FORMATS = ("angles", "velocities", "raw", "dlc-csv", "dlc-h5", "trc", "mot", "c3d", "openpose", "coco", "sleap", "nwb")

# Every command imports what it needs when it runs: `--help` must not wait for torch.


def reproduce(args: argparse.Namespace) -> int:
    from fewpose_runs.engine import reproduce

    reproduce(args.profile, args.only, args.workers, args.scheduler, args.cluster)
    return 0


def world(args: argparse.Namespace) -> int:
    from fewpose_worlds import worlds

    size = args.size or (480 if args.world == "operating_room" else 256)
    folder = worlds.export(args.world, args.frames, size, args.seed, args.out)
    print(f"{args.frames} frames with COCO keypoints in {folder}")
    return 0


def weights(args: argparse.Namespace) -> int:
    from fewpose.models.download import download

    for name in args.weights:
        print(download(name))
    return 0


def predict(args: argparse.Namespace) -> int:
    # before torch starts: threads that spin while they wait slow other processes, and those slow ours
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from fewpose_video.predict import Options, predict

    options = Options(
        person=args.person,
        start=args.start,
        end=args.end,
        slow_motion=args.slow_motion,
        smoother=None if args.smooth == "none" else args.smooth,
        formats=tuple(dict.fromkeys(args.format)),
        height=args.height,
        length=args.length and (*args.length[:2], float(args.length[2])),
        video=not args.no_video,
        background=args.background,
        blur_faces=args.blur_faces,
        whole=args.whole,
    )
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
        written, broken = predict(args.network, args.videos, args.out, options)
    again = {"kept": " (complete from an earlier call)", "redone": " (again, as an earlier call was stopped)"}
    for poses in written:
        names, said = ", ".join(str(path) for path in poses.files), again.get(poses.done, "")
        print(f"{poses.source.name}: {poses.frames} frames, somebody in {poses.frames_with_people}{said}: {names}")
    for reason in broken:
        print(f"skipped: {reason}", file=sys.stderr)
    return 0


def export(args: argparse.Namespace) -> int:
    from fewpose_video.export import export

    print(*export(args.network, args.file), sep="\n")
    return 0


def evaluate(args: argparse.Namespace) -> int:
    from fewpose.metrics import mvor

    if args.metric == "mvor-pck":
        table = mvor.pck(args.ground_truth, args.detections)
    else:
        table = mvor.box_ap(args.ground_truth, args.detections, args.as_published)
    print(table.to_csv(index=False, float_format="%.5f"), end="")
    return 0


def keep(args: argparse.Namespace) -> int:
    from fewpose_runs.reference import keep_reference

    print(keep_reference(args.profile, args.name or args.profile, args.notebooks))
    return 0


def benchmark(args: argparse.Namespace) -> int:
    sys.path.insert(0, str(repo_root() / "tests"))  # where the harness is
    from benchmarks.cases import benchmark

    print(benchmark(args.device, args.only, repo_root() / "outputs" / "benchmarks"))
    return 0


def lab(args: argparse.Namespace) -> int:
    return _tool("jupyter", "lab", "notebooks")


def test(args: argparse.Namespace) -> int:
    """Lint, stripped notebooks, then unit tests and notebooks in a process for each core, at most four."""
    from dask.system import CPU_COUNT

    notebooks = sorted(str(p) for p in Path(repo_root(), "notebooks").rglob("*.ipynb"))
    notebooks = [name for name in notebooks if ".ipynb_checkpoints" not in name]
    steps = [("ruff", "check", "."), ("ruff", "format", "--check", ".")]
    if notebooks:
        steps.append(("nbstripout", "--keep-id", "--verify", *notebooks))
    # A file, and so a notebook with its kernel, stays in one process. The notebooks take longest and come first:
    # xdist would begin with the files of most tests.
    processes = ("-n", str(min(CPU_COUNT, 4)), "--dist", "loadfile", "--no-loadscope-reorder")
    steps.append(("pytest", *processes, "notebooks", "tests"))
    for step in steps:
        print("·", " ".join(step[:3]), flush=True)
        if code := _tool(*step):
            return code
    return 0


def strip(args: argparse.Namespace) -> int:
    notebooks = sorted(str(p) for p in Path(repo_root(), "notebooks").rglob("*.ipynb"))
    return _tool("nbstripout", "--keep-id", *notebooks)


def _tool(module: str, *arguments: str) -> int:
    return subprocess.call([sys.executable, "-m", module, *arguments], cwd=repo_root())


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m fewpose", description=__doc__)
    top.add_argument("--version", action="version", version=f"fewpose {__version__}")
    commands = top.add_subparsers(dest="command", metavar="command", required=True)

    command = commands.add_parser("reproduce", help="run what is not up to date in a profile")
    command.add_argument("--profile", default="laptop", help=f"one of {', '.join(profiles())} (default: laptop)")
    command.add_argument("--only", nargs="+", metavar="RUN", help="these runs and what they need")
    where = command.add_mutually_exclusive_group()
    where.add_argument(
        "--workers", type=_positive, metavar="N", help="this many notebooks at once (default: as many as pay here)"
    )
    where.add_argument("--scheduler", metavar="tcp://HOST:PORT", help="use the workers of a running Dask scheduler")
    where.add_argument(
        "--cluster", type=Path, metavar="FILE", help="use jobs of Slurm, PBS or SGE, as params/clusters/slurm.yaml"
    )
    command.set_defaults(call=reproduce)

    command = commands.add_parser("world", help="write a rendered world as images and COCO JSON")
    command.add_argument("world", choices=("everyday", "jump", "operating_room"))
    command.add_argument("--frames", type=_positive, default=200, help="number of frames (200)")
    command.add_argument(
        "--size",
        type=_positive,
        help="side in pixels (256); for the operating room, whose frames are 4:3, the height (480)",
    )
    command.add_argument("--seed", type=int, default=0, help="seed of the world (0)")
    command.add_argument("--out", type=Path, required=True, help="folder to write")
    command.set_defaults(call=world)

    command = commands.add_parser("weights", help="download pretrained weights once, sha256-checked")
    command.add_argument("weights", nargs="+", choices=("rtmpose_s", "yolox_tiny", "movenet"))
    command.set_defaults(call=weights)

    command = commands.add_parser(
        "predict",
        help="a trained network on your videos: coordinates as CSV, videos with the poses drawn",
        description="Writes NAME_poses.csv (columns: lib/fewpose/data/README.md) and NAME_poses.mp4 for each video "
        "(.png for an image). Broken files are named and skipped; a stopped call goes on with the next video.",
    )
    _add_network(command, "a notebook that trains a network, or rtmpose_s, the published one")
    command.add_argument("videos", metavar="VIDEO_OR_FOLDER", type=Path, help="a video, an image, or a folder of them")
    command.add_argument("--out", type=Path, help="folder to write (default: poses, beside the videos)")
    _add_predict_options(command)
    command.set_defaults(call=predict)

    command = commands.add_parser(
        "export",
        help="a trained sports network as an ONNX file for rtmlib, Sports2D and Pose2Sim",
        description="Writes the file and, beside it, README.md: how good the network is, its licence, and the lines "
        "for Sports2D's and Pose2Sim's configuration.",
    )
    _add_network(command, "a sports notebook")
    command.add_argument("file", metavar="model.onnx", type=Path, help="file to write, best in a folder of its own")
    command.set_defaults(call=export)

    command = commands.add_parser("evaluate", help="evaluate detections on MVOR as its authors do")
    metrics = command.add_subparsers(dest="metric", metavar="metric", required=True)
    for name, text in (
        ("mvor-pck", "PCK@0.2 of the ten upper-body joints, from 17 COCO keypoints per person"),
        ("mvor-boxes", "COCO's AP and AR of the boxes"),
    ):
        metric = metrics.add_parser(name, help=text, description=text + "; prints CSV")
        metric.add_argument("--ground-truth", type=Path, required=True, help="camma_mvor_2018.json")
        metric.add_argument("--detections", type=Path, required=True, help="COCO results, JSON")
        metric.set_defaults(call=evaluate)
    metric.add_argument(
        "--as-published",
        action="store_true",
        help="as in the published numbers, never match the first annotation, whose id is 0",
    )

    command = commands.add_parser("keep", help="copy the results of a finished profile into outputs/reference")
    command.add_argument("profile")
    command.add_argument("--name", help="its name there (default: that of the profile)")
    command.add_argument(
        "--notebooks", action="store_true", help="executed notebooks instead of figures and test results"
    )
    command.set_defaults(call=keep)

    command = commands.add_parser("benchmark", help="compare our speed with that of reference implementations")
    command.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(cpu)")
    command.add_argument("--only", nargs="+", metavar="NAME", help="only cases whose names start with one of these")
    command.set_defaults(call=benchmark)

    for name, call, text in (
        ("lab", lab, "open JupyterLab on the notebooks"),
        ("test", test, "lint, unit tests, and every notebook under nbval, in up to four processes"),
        ("strip", strip, "strip the outputs of the notebooks, as the tests demand"),
    ):
        commands.add_parser(name, help=text).set_defaults(call=call)
    return top


def _add_network(command: argparse.ArgumentParser, notebook: str) -> None:
    about = f"folder of a finished run (or its weights file) of {notebook}"
    command.add_argument("network", metavar="RUN_OR_WEIGHTS", type=Path, help=about)


def _add_predict_options(command: argparse.ArgumentParser) -> None:
    whom = command.add_argument_group("who and when")
    whom.add_argument(
        "--person",
        type=_person,
        metavar="largest|all|ID",
        help="the one who is largest and longest in view (default), all (default of operating-room networks), or an ID",
    )
    whom.add_argument("--whole", action="store_true", help="one person in whole frames, without looking for people")
    whom.add_argument("--from", dest="start", type=_number, default=0.0, metavar="S", help="first second (0)")
    whom.add_argument("--to", dest="end", type=_number, default=float("inf"), metavar="S", help="last second (the end)")
    whom.add_argument(
        "--slow-motion",
        type=_factor,
        default=1.0,
        metavar="F",
        help="how many times slower it plays than it was recorded (1); 8 for 240 frames/s played at 30",
    )

    numbers = command.add_argument_group("numbers")
    numbers.add_argument(
        "--smooth",
        choices=("savitzky-golay", "butterworth", "none"),
        default="savitzky-golay",
        help="filter of 6 Hz or so that also fills gaps up to 0.2 s (savitzky-golay); none: as the network gives them",
    )
    numbers.add_argument("--height", type=_factor, metavar="M", help="height of the person in metres: gives metres")
    numbers.add_argument(
        "--length",
        nargs=3,
        metavar=("A", "B", "M"),
        help="metres between two keypoints, or between two points X,Y in pixels: gives metres",
    )
    numbers.add_argument(
        "--format", nargs="+", choices=FORMATS, default=[], metavar="FORMAT", help=f"more files: {', '.join(FORMATS)}"
    )

    video = command.add_argument_group("video with the poses drawn")
    video.add_argument("--no-video", action="store_true", help="do not write it")
    video.add_argument(
        "--background", choices=("video", "12x", "blank"), default="video", help="behind the poses (video)"
    )
    video.add_argument("--blur-faces", action="store_true", help="blur the heads of everybody who was found")


def _person(text: str) -> str | int:
    if text in ("largest", "all"):
        return text
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not largest, all, or the number of a person")
    return int(text)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 0")
    return value


def _factor(text: str) -> float:
    value = _number(text)
    if not value:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0")
    return value


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _sentence(error: Exception) -> str:
    """What an error says, with the remedy where the system forbids to write or read."""
    if isinstance(error, OSError) and error.filename and error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        forbidden = f"{error.filename} cannot be written or read ({error.strerror})"
        return f"{forbidden}: give yourself access, or work in a copy elsewhere"
    return str(error)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; errors that the user can fix end as one sentence on stderr and exit code 1."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # a pipe on Windows knows few characters
    if sys.getfilesystemencoding() != "utf-8":
        found = sys.getfilesystemencoding()
        print(f"fewpose: file names are read as {found}; set PYTHONUTF8=1 for names with accents", file=sys.stderr)
    try:
        args = parser().parse_args(arguments)
        return args.call(args)
    except (ValueError, RuntimeError, OSError) as error:
        if os.environ.get("FEWPOSE_DEBUG"):
            raise
        print(f"fewpose: {_sentence(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        then = "continues from here"
        if args.call is predict:
            then = "goes on with this video"
        print(f"\nfewpose: stopped; the same command {then}", file=sys.stderr)
        return 130
