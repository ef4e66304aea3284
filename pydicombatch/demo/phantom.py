"""Pictures of nobody: ellipses drawn by formula, a little different in every slice. Pure."""

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint16]
# On a grid from -1 to 1 in both directions:
_MUSCLE = 1.25  # how far the pectoral muscle keeps from the centre
_DEPTH = 1.9  # how deep the ultrasound goes


def ct_slice(size: int, position: float) -> Image:
    """Draw a body with two lungs and a spine.

    Parameters
    ----------
    size
        Rows and columns.
    position
        Place along the body, 0 to 1; the lungs are widest in the middle.

    Returns
    -------
    (rows, columns) uint16, stored values; with a rescale intercept of -1024 they are HU.
    """
    picture = np.zeros((size, size), np.uint16)
    lung = 0.12 + 0.22 * float(np.sin(np.pi * position))
    _ellipse(picture, (0.0, 0.0), (0.62, 0.88), 1064)
    _ellipse(picture, (-0.05, -0.42), (lung, lung * 0.8), 224)
    _ellipse(picture, (-0.05, 0.42), (lung, lung * 0.8), 224)
    _ellipse(picture, (0.42, 0.0), (0.12, 0.12), 1724)
    return picture


def mr_slice(size: int, position: float, *, fluid: int) -> Image:
    """Draw a head with ventricles.

    Parameters
    ----------
    size
        Rows and columns.
    position
        Place along the head, 0 to 1.
    fluid
        Stored value of the ventricles: dark in T1, bright in T2.

    Returns
    -------
    (rows, columns) uint16, stored values.
    """
    picture = np.zeros((size, size), np.uint16)
    widest = float(np.sin(np.pi * (0.15 + 0.7 * position)))
    _ellipse(picture, (0.0, 0.0), (0.9 * widest, 0.72 * widest), 900)
    _ellipse(picture, (0.0, 0.0), (0.8 * widest, 0.62 * widest), 520)
    _ellipse(picture, (-0.08, -0.14), (0.26 * widest, 0.09), fluid)
    _ellipse(picture, (-0.08, 0.14), (0.26 * widest, 0.09), fluid)
    return picture


def mammogram(rows: int, columns: int, *, left: bool, oblique: bool) -> Image:
    """Draw half a disc at the chest wall with a few bright specks.

    Parameters
    ----------
    rows, columns
        Size of the image.
    left
        Whether the chest wall lies at the left border, as it does for a left breast.
    oblique
        Whether a wedge of muscle is seen in the upper corner (MLO instead of CC).

    Returns
    -------
    (rows, columns) uint16, stored values.
    """
    picture = np.zeros((rows, columns), np.uint16)
    _ellipse(picture, (0.0, -1.0), (0.78, 1.5), 1500)
    _ellipse(picture, (0.05, -0.8), (0.4, 0.7), 2300)
    if oblique:
        picture[sum(_grid(rows, columns)) < -_MUSCLE] = 2900
    for speck in range(5):
        _ellipse(picture, (-0.2 + 0.11 * speck, -0.5 + 0.07 * speck), (0.02, 0.03), 3900)
    return picture if left else picture[:, ::-1].copy()


def ultrasound(frames: int, size: int) -> npt.NDArray[np.uint8]:
    """Draw a fan with something that beats in it.

    Returns
    -------
    (frames, rows, columns) uint8, stored values.
    """
    clip = np.zeros((frames, size, size), np.uint8)
    vertical, horizontal = _grid(size, size)
    depth = np.hypot(vertical + 1.0, horizontal)
    fan = (depth < _DEPTH) & (np.abs(horizontal) < 0.75 * (vertical + 1.0))
    for number in range(frames):
        radius = 0.25 + 0.08 * float(np.cos(2 * np.pi * number / frames))
        clip[number][fan] = (70 + 40 * np.sin(depth[fan] * 40)).astype(np.uint8)
        clip[number][np.hypot(vertical - 0.1, horizontal) < radius] = 15
    return clip


def _grid(rows: int, columns: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    vertical, horizontal = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    return vertical, horizontal


def _ellipse(
    picture: Image, centre: tuple[float, float], radii: tuple[float, float], value: int
) -> None:
    vertical, horizontal = _grid(*picture.shape)
    away = ((vertical - centre[0]) / radii[0]) ** 2 + ((horizontal - centre[1]) / radii[1]) ** 2
    picture[away < 1] = value
