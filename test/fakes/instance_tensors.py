"""The tensors of YOLO-seg for one person, whose place is known, and something doubtful."""
import numpy as np

SIZE, ROWS, CLASSES, KERNELS = 320, 300, 80, 32
PERSON, CHAIR = 0, 56  # as the network counts them
SCORE, DOUBTFUL = 0.875, 0.125


def suppressed(box, unit=SIZE):
    """
    Return what an export gives that does the suppression of double boxes itself.

    `box` has the corners of the person, (2, 2), in [0, 1]; boxes are in units of 1 / `unit`.
    """
    boxes, scores, classes, coefficients = (
        np.zeros(shape, np.float32) for shape in ((ROWS, 4), ROWS, ROWS, (ROWS, KERNELS)))
    boxes[:2] = unit * np.array([grown(box).ravel(), (0.02, 0.02, 0.1, 0.1)])
    scores[:2], classes[:2] = (SCORE, DOUBTFUL), (PERSON, CHAIR)
    coefficients[0, 0], coefficients[1, 1] = 2, 1
    return [boxes, scores, classes, coefficients, prototypes(box)]


def distances(box):
    """Return the same as an export gives it that leaves the suppression to the processor."""
    places = [(SIZE // stride, stride) for stride in (8, 16, 32)]
    count = sum(cells ** 2 for cells, _ in places)
    sides, scores, coefficients = (
        np.zeros((rows, count), np.float32) for rows in (4, CLASSES, KERNELS))
    middle, start = SIZE * box.mean(axis=0), 0
    for (cells, stride), score in zip(places, (0.75, SCORE, 0.5), strict=True):
        column, row = np.clip(middle // stride, 0, cells - 1).astype(int)
        at = start + row * cells + column
        centre = np.array((column, row)) + 0.5
        low, high = grown(box) * SIZE / stride
        sides[:, at] = np.concatenate([centre - low, high - centre])
        scores[PERSON, at], coefficients[0, at] = score, 2
        start += cells ** 2
    sides[:, 0], scores[CHAIR, 0], coefficients[1, 0] = (0.2, 0.2, 2, 2), DOUBTFUL, 1
    return [sides, scores, coefficients, prototypes(box)]


def grown(box):
    """Return a box with some room around it: the outline is a matter of the prototypes."""
    room = 0.05 * (box[1] - box[0])
    return np.clip(box + np.array([-room, room]), 0, 1)


def prototypes(box):
    """Return the first one positive inside of the person, the second one everywhere."""
    cells = SIZE // 4
    centres = (np.arange(cells) + 0.5) / cells
    away = np.minimum(centres - box[0][:, None], box[1][:, None] - centres) * cells
    kernels = np.random.default_rng(1).standard_normal((KERNELS, cells, cells))
    kernels[0] = np.clip(np.minimum(away[0], away[1][:, None]), -3, 3)
    kernels[1] = 1
    return kernels.astype(np.float32)
