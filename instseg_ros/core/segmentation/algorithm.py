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

    Evidence is panoptic quality (PQ), without the rule and with it, of data that the weights were
    learned on, too, see ``docs/method.md``: photos and nuclei are true masks, network are masks
    of a real network.

    Attributes
    ----------
    automatic_size : float
        Share of the frame below which ``size_threshold`` -1 drops instances. modlib's default, 100
        cells of a 320x320 grid, is the same share. Network 0.168 with a third of it, now 0.182.
    solid : float
        Share of its convex hull from which on a component is one object: no cut is looked for,
        which saves two thirds of the time of a frame of objects that stand apart.
    grid_cells : int
        Cells that a component covers on its grid: time and memory do not grow with the picture.
        Photos 0.744 with half, 0.742 with twice as many, now 0.747.
    shallow : float
        Basins whose saddle is higher than this part of the lower peak are one: ripples of the
        digital outline. Nuclei 0.885 to 0.926 at ``dist_threshold`` 0.7.
    outline_error : float
        How far an outline may be off, in pixels: what is narrow is rarely cut. Photos 0.742 to
        0.747, network 0.179 to 0.182, litter 0.816 to 0.822 (the other half 0.815 to 0.822);
        nuclei 0.914 to 0.911.
    limit : float
        Logarithm of the neck ratio that is allowed between convex regions of the same size. With
        the three weights below learned by ``benchmarks/learn.py``.
    concavity : float
        Weight of the squared concavity: a whole with limbs is cut at narrow necks only. Photos
        0.680 to 0.747.
    size_ratio : float
        Weight of the logarithm of the size ratio: something small on something large is more
        often a piece of it. Photos 0.702 to 0.747.
    elongation : float
        Weight of the logarithm of elongation: regions that are long and lie end to end are one.
        Photos 0.737 to 0.747; people are cut at the waist without.
    elongated : float
        Elongation of what counts as long, in widths of a disc. Photos 0.731 with 1.4.
    heads : float
        Weight of heads on both sides, for upright classes. Network 0.172 to 0.182, photos 0.740
        to 0.747; people composed of silhouettes, which nothing was chosen on, 0.60 to 0.65.
    heads_size_ratio : float
        Further weight of the logarithm of the size ratio between heads: arms held away rise from
        the outline as heads do. With 0.1 a drawn person loses an arm.
    head_prominence : float
        How far two heads rise above the valley between them, in heights of the component. Network
        0.177 with twice as much.
    head_distance, head_height : float
        How far two heads are apart at least, and how high up a head is, in heights of the
        component: what is nearer is one head, what is lower an arm or a bag. Both
        together: photos 0.737 to 0.742, of the network's masks people 0.200 to 0.205.
    score_weights : tuple of float
        Of 1 and of the three features of :mod:`.scores`: learned by ``benchmarks/learn.py``.
    score_reach : float
        How far away a neighbour is at most, in roots of the instance's area.

    """

    automatic_size: float = 0.001
    solid: float = 0.93
    grid_cells: int = 700
    shallow: float = 0.85
    outline_error: float = 0.5
    limit: float = 0.63
    concavity: float = -5.0
    size_ratio: float = 0.18
    elongation: float = -2.0
    elongated: float = 2.0
    heads: float = 0.78
    heads_size_ratio: float = 0.2
    head_prominence: float = 0.06
    head_distance: float = 0.12
    head_height: float = 0.7
    score_weights: tuple[float, ...] = (2.87, 0.73, -4.23, -0.6)
    score_reach: float = 2.0


ALGORITHM = Algorithm()
