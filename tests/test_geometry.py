import pytest
import torch
import torch.nn.functional as F

from fewpose import geometry as g
from fewpose.heatmaps import gaussian_targets


def some_maps(size=(48, 64), n=8):
    torch.manual_seed(3)
    matrix = g.similarity(size, 60 * torch.rand(n) - 30, 0.7 + 0.6 * torch.rand(n), 8 * torch.rand(n, 2) - 4)
    return g.compose(matrix, g.mirror(size[1], torch.arange(n) % 2 == 0))


def test_quarter_turn_by_hand():
    # 90 degrees clockwise on the screen about the centre (1, 1) of a 3x3 image: right goes down
    matrix = g.similarity((3, 3), torch.tensor([90.0]), torch.ones(1), torch.zeros(1, 2))
    out = g.transform_points(matrix, torch.tensor([[[2.0, 1.0, 7.0]]]))
    assert torch.allclose(out, torch.tensor([[[1.0, 2.0, 7.0]]]), atol=1e-6)


def test_mirror_maps_first_to_last_pixel():
    matrix = g.mirror(10, torch.tensor([True, False]))
    out = g.transform_points(matrix, torch.zeros(2, 1, 2))
    assert out[:, 0, 0].tolist() == [9.0, 0.0]


def test_inverse_brings_points_home():
    matrix = some_maps()
    points = 60 * torch.rand(8, 5, 2)
    home = g.transform_points(g.invert(matrix), g.transform_points(matrix, points))
    assert torch.allclose(home, points, atol=1e-3)


def test_compose_is_one_after_the_other():
    a, b = some_maps(), some_maps().flip(0)
    points = 60 * torch.rand(8, 5, 2)
    both = g.transform_points(g.compose(a, b), points)
    assert torch.allclose(both, g.transform_points(a, g.transform_points(b, points)), atol=1e-3)


def test_identity_and_mirror_of_pixels_are_exact():
    image = torch.rand(2, 3, 5, 7)
    assert torch.allclose(g.warp(image, g.identity(2), (5, 7)), image, atol=1e-5)
    flipped = g.warp(image, g.mirror(7, torch.tensor([True, True])), (5, 7))
    assert torch.allclose(flipped, image.flip(3), atol=1e-5)


def test_shift_of_pixels_by_hand():
    image = torch.arange(12.0).view(1, 1, 3, 4)
    matrix = g.identity(1)
    matrix[0, 0, 2] = 1
    expected = torch.tensor([[0.0, 0, 1, 2], [0, 4, 5, 6], [0, 8, 9, 10]])
    assert torch.allclose(g.warp(image, matrix, (3, 4))[0, 0], expected, atol=1e-5)


@pytest.mark.parametrize("size", [(48, 64), (20, 90)])
def test_the_grid_is_that_of_affine_grid(size):
    back = g.invert(some_maps())
    x, y = torch.meshgrid(torch.arange(size[1]), torch.arange(size[0]), indexing="xy")
    pixels = torch.stack([x, y], -1).float().view(1, -1, 2).expand(8, -1, 2)
    source = g.transform_points(back, pixels).view(8, *size, 2)
    expected = (2 * source + 1) / torch.tensor([64, 48]) - 1
    assert torch.allclose(g.sampling_grid(back, (48, 64), size), expected, atol=1e-5)
    same = F.affine_grid(g.identity(1), [1, 1, *size], align_corners=False)
    assert torch.allclose(g.sampling_grid(g.identity(1), size, size), same, atol=1e-6)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_bytes_are_warped_as_other_images(layout):
    torch.manual_seed(0)
    matrix = some_maps()
    images = 255 * F.interpolate(torch.rand(8, 3, 5, 6), (48, 64), mode="bilinear")
    images = images.byte().contiguous(memory_format=layout)
    found, expected = g.warp_bytes(images, matrix), g.warp(images.float(), matrix, (48, 64))
    assert found.dtype == torch.uint8
    distance = (found - expected).abs()
    whole = g.warp(torch.ones(8, 1, 48, 64), matrix, (48, 64)) > 0.999
    # rounding, and 1/64 of a pixel: of the steps within, and of those to the black around
    assert (distance * whole).max() < 1.2 and distance.max() < 255 / 32 + 1
    assert g.warp_bytes(images[:0], matrix[:0]).shape == (0, 3, 48, 64)


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_pixels_go_where_points_go(stride):
    """The centre of mass of a warped Gaussian spot is the warped centre."""
    matrix = some_maps((96, 128))
    poses = torch.tensor([[[64.3, 45.6, 2.0]]]).expand(8, 1, 3)
    maps = gaussian_targets(poses, (96, 128), stride, sigma=2)
    warped = g.warp(maps, g.at_stride(matrix, stride), maps.shape[-2:])[:, 0]
    mass = warped.sum((1, 2))
    x = (warped.sum(1) * torch.arange(warped.shape[2])).sum(1) / mass
    y = (warped.sum(2) * torch.arange(warped.shape[1])).sum(1) / mass
    found = (torch.stack([x, y], -1) + 0.5) * stride - 0.5
    expected = g.transform_points(matrix, poses)[:, 0, :2]
    assert (found - expected).abs().max() < 0.05 * stride


def test_rays_of_an_image():
    poses = torch.tensor([[[319.5, 239.5, 0.7], [639.5, 239.5, 1.0], [319.5, -0.5, 0.0]]])
    rays = g.rays(poses, (480, 640))
    edge = 3**-0.5  # 30 degrees to the edge of the longer side
    expected = torch.tensor([[[0, 0, 0.7], [edge, 0, 1.0], [0, -0.75 * edge, 0.0]]])
    torch.testing.assert_close(rays, expected)
    twice = torch.cat([2 * poses[..., :2] + 0.5, poses[..., 2:]], -1)
    torch.testing.assert_close(g.rays(twice, torch.tensor([[960, 1280]])), rays)


def test_turned_to_a_direction_by_the_shortest_way():
    to = F.normalize(torch.tensor([[0.0, 0, 1], [0.4, -0.3, 1], [-0.9, 0.2, 0.5]]), dim=-1)
    turn = g.turn_to(to)
    torch.testing.assert_close(turn[..., 2], to)
    torch.testing.assert_close(turn @ turn.mT, torch.eye(3).expand(3, 3, 3), atol=1e-6, rtol=0)
    # by no more than the angle between them
    angle = (turn.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2
    torch.testing.assert_close(angle, to[:, 2])
