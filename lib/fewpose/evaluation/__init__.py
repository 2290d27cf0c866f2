"""How well several people were found: COCO's AP, MPJPE in 3D, and MVOR's own numbers."""
