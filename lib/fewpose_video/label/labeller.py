"""The labeller: a widget that shows one frame at a time and writes every change into the label file at once.

The half in the browser is `labeller.js`. It needs a running kernel; where there is none, the labelled frames are an
image.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import anywidget
import cv2
import numpy as np
import traitlets
from IPython.display import Image

from fewpose.data.images import read_image
from fewpose_video.label import label_file, still_frames
from fewpose_video.label.label_file import ChangedElsewhere, LabelledFrame

HERE = Path(__file__).parent
QUALITY = 92  # of the JPEG that the browser gets


class Labeller(anywidget.AnyWidget):
    """The labeller of a label file (`label_file.open_labels`) whose images are in `images`.

    It begins at the first frame that is not done. Several may show the same file, in other tabs and kernels: a frame
    that was labelled elsewhere meanwhile is never overwritten, but shown. ValueError for a file without frames.
    """

    _esm = HERE / "labeller.js"
    _css = HERE / "labeller.css"

    skeleton = traitlets.Dict().tag(sync=True)  # keypoints, sides, and limbs and mirror pairs by index
    files = traitlets.List().tag(sync=True)
    status = traitlets.List().tag(sync=True)  # of each frame: 0 to do, 1 begun, 2 done
    frame = traitlets.Dict().tag(sync=True)  # the one that is shown, and whose change it is
    image = traitlets.Bytes().tag(sync=True)  # JPEG

    def __init__(self, path: str | Path, images: str | Path):
        super().__init__()
        self.path, self.images = Path(path), Path(images)
        skeleton = label_file.skeleton_of(self.path)
        self.skeleton = {
            "keypoints": list(skeleton.keypoints),
            "sides": skeleton.sides,
            "limbs": [list(limb) for limb in skeleton.limb_index],
            "pairs": [list(pair) for pair in skeleton.pair_index],
        }
        frames = label_file.read_frames(self.path)
        if not frames:
            raise ValueError(f"{self.path} has no frames to label: choose some first")
        self.files = [frame.file for frame in frames]
        self._read = {frame.file: frame for frame in frames}  # as this widget last saw them
        self.go_to(next((i for i, frame in enumerate(frames) if not frame.done), 0))
        self.on_msg(self._message)

    def go_to(self, index: int) -> None:
        """Show a frame, as it is in the file now."""
        frames = {frame.file: frame for frame in label_file.read_frames(self.path)}
        self._read.update(frames)
        file = self.files[min(max(index, 0), len(self.files) - 1)]
        image = read_image(self.images / file)
        if image is None:
            image = np.zeros((*self._read[file].size, 3), np.uint8)
        with self.hold_sync():
            self.status = [status_of(self._read[name]) for name in self.files]
            self.image = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
            self._show(self._read[file])

    def save(self, frame: LabelledFrame, **about: object) -> None:
        """Write the labels of a frame and show it; `about` goes along to the browser."""
        try:
            label_file.save_frame(self.path, frame, self._read[frame.file])
        except ChangedElsewhere:
            frame = next(other for other in label_file.read_frames(self.path) if other.file == frame.file)
            about["conflict"] = True
        self._read[frame.file] = frame
        with self.hold_sync():
            self.status = [status_of(self._read[name]) for name in self.files]
            if frame.file == self.frame["file"]:
                self._show(frame, **about)

    def _show(self, frame: LabelledFrame, editor: str = "", count: int = 0, conflict: bool = False) -> None:
        height, width = frame.size
        self.frame = {
            "index": self.files.index(frame.file),
            "file": frame.file,
            "video": frame.video,
            "number": frame.number,
            "width": width,
            "height": height,
            "keypoints": frame.keypoints.tolist(),
            "absent": frame.absent.tolist(),
            "suggested": frame.suggested.tolist(),
            "editor": editor,
            "count": count,
            "conflict": conflict,
        }

    def _message(self, _: object, message: dict, __: object) -> None:
        """What the browser sends: open a frame, save one, copy the labels of its neighbour."""
        if message["kind"] == "open":
            self.go_to(message["index"])
            return
        old = self._read[message["file"]]
        if message["kind"] == "save":
            keypoints, absent = np.array(message["keypoints"], float), np.array(message["absent"], bool)
            frame = replace(old, keypoints=keypoints.reshape(old.keypoints.shape), absent=absent)
            self.save(frame, editor=message["editor"], count=message["count"])
        elif message["kind"] == "copy":
            source = neighbour(old, list(self._read.values()))
            reply = {"kind": "copy", "editor": message["editor"], "file": old.file, "source": source and source.file}
            self.send(reply | {"keypoints": source.keypoints.tolist() if source else []})

    def _repr_mimebundle_(self, **options: object) -> tuple[dict, dict] | None:
        """The widget, and an image for where widgets are not shown."""
        bundle = super()._repr_mimebundle_(**options)
        if bundle:
            image = still_frames.contact_sheet(self.path, self.images)
            bundle[0]["image/png"] = base64.b64encode(image).decode()
        return bundle


def status_of(frame: LabelledFrame) -> int:
    """0: to do, 1: begun, 2: done."""
    return 2 if frame.done else int(frame.started)


def neighbour(frame: LabelledFrame, frames: list[LabelledFrame]) -> LabelledFrame | None:
    """The nearest other frame of the video that has labels, the earlier one of two; None if there is none."""
    others = [f for f in frames if f.video == frame.video and f.file != frame.file and (f.keypoints[:, 2] > 0).any()]
    return min(others, key=lambda f: (abs(f.number - frame.number), f.number), default=None)


def show_labeller(path: str | Path, images: str | Path, live: bool = True) -> Labeller | Image:
    """The labeller, to be the last line of a cell; an image of the labelled frames if nobody is there to label."""
    return Labeller(path, images) if live else Image(still_frames.contact_sheet(Path(path), Path(images)))
