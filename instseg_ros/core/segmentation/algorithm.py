"""
The constants of the algorithm: what no user turns.

``benchmarks/sensitivity.py`` prints what 30 % more and less of each does to every figure.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Algorithm:
    """
    Constants of the splitter, in the order of its steps.

    Evidence is panoptic quality (PQ) of data that the weights were learned on, too, see
    ``docs/method.md``: photos and nuclei are true masks, network are masks of a real network.

    Attributes
    ----------
    automatic_size : float
        Share of the frame below which ``size_threshold`` -1 drops instances. modlib's default, 100
        cells of a 320x320 grid, is the same share. Network PQ 0.138 to 0.170.
    solid : float
        Share of its convex hull from which on a component is one object: no cut is looked for,
        which saves two thirds of the time of a frame of objects that stand apart.
    grid_cells : int
        Cells that a component covers on its grid: time and memory do not grow with the picture.
        Photos 0.732 with 700, no more with 2000.
    shallow : float
        Basins whose saddle is higher than this part of the lower peak are one: ripples of the
        digital outline. Photos 0.732 and nuclei 0.898 (``dist_threshold`` 0.7) without.
    limit : float
        Logarithm of the neck ratio that is allowed between convex regions of the same size. With
        the four weights below learned by ``benchmarks/learn.py``.
    whole_concavity, parts_concavity : float
        Weights of the squared concavities: a whole with limbs is cut at narrow necks only, unless
        its parts are just as concave. Photos 0.728 to 0.737 with the second.
    size_ratio : float
        Weight of the logarithm of the size ratio: something small on something large is more
        often a piece of it. Photos 0.707 without.
    elongation : float
        Weight of the logarithm of elongation: regions that are long and lie end to end are one.
        Photos 0.729 to 0.737; people are cut at the waist without.
    elongated : float
        Elongation of what counts as long, in widths of a disc.
    heads : float
        Weight of heads on both sides, for upright classes. Composed pedestrians, of a network 0.45
        to 0.61, true masks 0.68 to 0.78; the network's photos 0.174 to 0.182.
    heads_size_ratio : float
        Further weight of the logarithm of the size ratio between heads: arms held away rise from
        the outline as heads do. Composed pedestrians 0.775 to 0.782.
    head_prominence : float
        How far two heads rise above the valley between them, in heights of the component: 0.02
        costs photos 0.01, 0.1 pedestrians.
    score_weights : tuple of float
        Of 1 and of the three features of :mod:`.scores`: learned by ``benchmarks/learn.py``.
    score_reach : float
        How far away a neighbour is at most, in roots of the instance's area.

    """

    automatic_size: float = 0.001
    solid: float = 0.93
    grid_cells: int = 700
    shallow: float = 0.85
    limit: float = 0.6
    concavity: float = -5.0
    size_ratio: float = 0.15
    elongation: float = -2.0
    elongated: float = 2.0
    heads: float = 0.8
    heads_size_ratio: float = 0.4
    head_prominence: float = 0.06
    score_weights: tuple[float, ...] = (2.87, 0.73, -4.23, -0.6)
    score_reach: float = 2.0


ALGORITHM = Algorithm()
