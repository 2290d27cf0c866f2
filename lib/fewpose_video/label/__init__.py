"""Label frames of videos in a notebook: skeleton, choice of frames, labeller, checks, other tools' projects.

Labels are the file `annotations.json` that `fewpose.data.custom` reads; `label_file` alone writes it.
"""
