"""What was seen of the nodes and topics that run: plain data, without ROS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median

from ..messages import topics

PIPELINE_NODES = ('camera_node', 'instance_segmentation_node', 'tracker_node', 'overlay_node',
                  'ground_node', 'scene_node')
_TOPICS = tuple(f'/{topic}{form}' for topic in (
    topics.IMAGE, topics.MASK, topics.NETWORK_MASK, topics.NETWORK_INSTANCES, topics.DETECTIONS,
    topics.INSTANCE_MASK, topics.TRACKS, topics.OVERLAY) for form in ('', '/compressed'))
_OF_ALL_NODES = ('/rosout', '/parameter_events', '/diagnostics', topics.TF, topics.TF_STATIC)


@dataclass(frozen=True)
class Endpoint:
    """A publisher or a subscriber."""

    node: str
    reliability: str
    durability: str
    type_name: str
    type_hash: str
    elsewhere: bool  # on another machine

    def __str__(self) -> str:
        return f'{self.node} ({self.reliability}, {self.durability})'


@dataclass(frozen=True)
class Arrival:
    """
    A message that arrived.

    Attributes
    ----------
    received_ns : int
        When it arrived, by the clock of this machine.
    now_ns : int
        The same by the clock that stamps are of: /clock where it is simulated.
    stamp_ns : int or None
        The stamp in its header; None where it has none.
    publisher : bytes
        Which publisher sent it.
    number : int or None
        As which of its publisher's; None where the middleware does not say.

    """

    received_ns: int
    now_ns: int
    stamp_ns: int | None
    publisher: bytes
    number: int | None


@dataclass
class Topic:
    """A topic: who is at its ends, and what arrived."""

    name: str
    publishers: list[Endpoint] = field(default_factory=list)
    subscribers: list[Endpoint] = field(default_factory=list)
    mismatches: list[tuple[Endpoint, Endpoint, str]] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    heard_s: float = 0.0  # for how long somebody listened
    unknown_type: str = ''  # why nobody could listen

    @property
    def latched(self) -> bool:
        """Whether its messages are kept for those who come later."""
        return bool(self.publishers) and all(
            p.durability == 'transient_local' for p in self.publishers)

    @property
    def types(self) -> set[str]:
        """Return the types by which it is known."""
        return {end.type_name for end in (*self.publishers, *self.subscribers)}

    @property
    def sent(self) -> int:
        """Return how many messages were sent while somebody listened, by their numbers."""
        return len(self.arrivals) + self.lost

    @property
    def lost(self) -> int:
        """Return how many messages did not arrive, by their numbers; 0 where they have none."""
        numbers: dict[bytes, list[int]] = {}
        for arrival in self.arrivals:
            if arrival.number is not None:
                numbers.setdefault(arrival.publisher, []).append(arrival.number)
        return sum(max(known) - min(known) + 1 - len(set(known)) for known in numbers.values())

    @property
    def rate(self) -> float:
        """Messages per second, those included that did not arrive; 0 for fewer than two."""
        if len(self.arrivals) < 2:
            return 0.0
        seconds = (self.arrivals[-1].received_ns - self.arrivals[0].received_ns) / 1e9
        return (self.sent - 1) / seconds if seconds else 0.0

    @property
    def longest_gap_s(self) -> float:
        """Return the longest time without a message, in seconds."""
        times = [a.received_ns for a in self.arrivals]
        return max((b - a for a, b in zip(times, times[1:], strict=False)), default=0) / 1e9

    @property
    def age_s(self) -> float | None:
        """Return how old messages are when they arrive, the median in seconds; None without."""
        ages = [a.now_ns - a.stamp_ns for a in self.arrivals if a.stamp_ns is not None]
        return median(ages) / 1e9 if ages else None


@dataclass(frozen=True)
class Status:
    """What a node of this package said last in /diagnostics."""

    node: str
    healthy: bool
    message: str
    values: dict[str, str]


@dataclass
class Graph:
    """
    What was seen.

    Attributes
    ----------
    where : str
        Where was looked: domain and namespace.
    nodes : list of str
        Full names of all nodes; one twice is there twice.
    topics : dict of str to Topic
        By full name.
    statuses : dict of str to Status
        By the full name of the node.
    duration_s : float
        For how long was listened.
    clock_jump_s : float
        How far the clock of this machine jumped meanwhile.
    left_out : set of str
        Nodes that were left away on purpose, as far as processes of this machine say so.
    busy : float
        Which part of all processors' time was used meanwhile, 0 to 1.

    """

    where: str = ''
    nodes: list[str] = field(default_factory=list)
    topics: dict[str, Topic] = field(default_factory=dict)
    statuses: dict[str, Status] = field(default_factory=dict)
    duration_s: float = 0.0
    clock_jump_s: float = 0.0
    left_out: set[str] = field(default_factory=set)
    busy: float = 0.0

    @property
    def pipeline(self) -> list[str]:
        """Return the nodes of this package, by what they say of themselves or by their names."""
        return sorted({*self.statuses, *(
            node for node in self.nodes if node.rsplit('/', 1)[-1] in PIPELINE_NODES)})

    def own_topics(self) -> Iterator[Topic]:
        """Yield the topics of the pipeline: by their names, or by who is at their ends."""
        ours = set(self.pipeline)
        for name, topic in sorted(self.topics.items()):
            ends = {end.node for end in (*topic.publishers, *topic.subscribers)}
            if ours and name not in _OF_ALL_NODES and (ends & ours or name.endswith(_TOPICS)):
                yield topic

    def inputs(self, node: str) -> list[Topic]:
        """Return the topics that a node of this package subscribes to."""
        return [t for t in self.own_topics() if node in {end.node for end in t.subscribers}]

    def outputs(self, node: str) -> list[Topic]:
        """Return the topics that a node of this package publishes."""
        return [t for t in self.own_topics() if node in {end.node for end in t.publishers}]

    @property
    def plays_a_recording(self) -> bool:
        """Whether what runs is fed from a recording, which keeps its own stamps."""
        sources = [s.values['source'] for s in self.statuses.values() if 'source' in s.values]
        return any('player' in node.rsplit('/', 1)[-1] for node in self.nodes) or any(
            source not in ('imx500', 'synthetic') and not source.startswith('/dev/')
            and '://' not in source for source in sources)
