"""Checks of a running pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from statistics import median

from .finding import FAIL, Finding, OK, SKIP, WARN
from .graph import Endpoint, Graph, PIPELINE_NODES, Status, Topic
from ..messages import topics

_TOO_OLD_S = 1.0
_AHEAD_S = 0.1
_DAY_S = 86_400.0
_GAP_S, _GAP_PERIODS = 1.0, 10
_JUMP_S = 5.0
_CLOCK_JUMP_S = 0.2
_LATE_S = 0.5
_DONE = 0.85  # of its input that a node should process
_ARRIVED = 0.9  # of what is sent that should arrive
_FEW = 10  # messages, on which nothing can be said
_REFUSED = 'refused messages'  # as nodes count them in /diagnostics
_DEBUG = '/debug/'
_SLOW = ('lower frame_rate, width and height of camera_node, end other programs, or let only the '
         'newest mask wait: "Everything is a second late" in the README')


def nodes(graph: Graph) -> Iterator[Finding]:
    """Look who is there, and what the nodes say of themselves."""
    if not graph.pipeline:
        others = f'; there are {len(graph.nodes)} other nodes' if graph.nodes else ''
        yield Finding('pipeline', SKIP, f'no node of it runs {graph.where}{others}',
                      'ros2 launch instseg_ros pipeline.launch.py; where it runs on another '
                      'machine, both need the same ROS_DOMAIN_ID and no '
                      'ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST')
        return
    for node in (node for node in graph.pipeline if graph.nodes.count(node) > 1):
        yield Finding(node, FAIL, f'{graph.nodes.count(node)} nodes have this name: parameters '
                      'reach one of them only', 'end one, or give each robot a namespace: '
                      'namespace:=robot1')
    for node in graph.pipeline:
        status = graph.statuses.get(node)
        if status is None:
            yield Finding(node, FAIL, f'it is there, but said nothing for {graph.duration_s:.0f} '
                          's: it hangs, or was killed a moment ago',
                          'end it (kill -9, if need be), and start it again')
        elif any(status.message.startswith(f'{t.name}: ') for t in graph.topics.values()
                 if t.mismatches):
            yield Finding(node, SKIP, status.message)  # named with the topic
        elif status.healthy:
            yield Finding(node, OK, f'{status.message}, {status.values.get("rate (Hz)", "0")} Hz')
        else:
            yield Finding(node, WARN, status.message,
                          'do what it says; its log has what happened before')


def missing_nodes(graph: Graph) -> Iterator[Finding]:
    """Look for a pipeline that lacks its later nodes."""
    for node in graph.pipeline:
        namespace, _, name = node.rpartition('/')
        if name != 'instance_segmentation_node':
            continue
        for missing, output, what, state in (
                ('tracker_node', topics.TRACKS, 'ids', WARN),
                ('overlay_node', topics.OVERLAY, 'overlay', SKIP)):
            # Where somebody waits for it, that is another finding.
            if not (missing in graph.left_out or f'{namespace}/{missing}' in graph.nodes
                    or f'{namespace}/{output}' in graph.topics):
                yield Finding(f'{namespace}/{missing}', state, f'it does not run: no {what}',
                              f'ros2 run instseg_ros {missing}' + _in_namespace(namespace))


def missing_publishers(graph: Graph) -> Iterator[Finding]:
    """Look for those who wait for what nobody publishes."""
    for topic in graph.own_topics():
        # Our own nodes do without the names of the classes, and without what few networks give.
        patient = graph.pipeline if topic.name.endswith(f'/{topics.LABEL_INFO}') or (
            topics.is_optional(topic.name)) else ()
        waiting = [end.node for end in topic.subscribers
                   if not _runs(graph.statuses.get(end.node)) and end.node not in patient]
        if topic.publishers or not waiting:
            continue
        if topic.name == '/clock':
            yield Finding('/clock', FAIL, f'{_names(waiting)} takes the time from it '
                          '(use_sim_time), and nobody publishes it',
                          'ros2 bag play --clock, or start the nodes without use_sim_time')
            continue
        yield Finding(topic.name, FAIL, f'nobody publishes it, and {_names(waiting)} waits for it',
                      _start_cure(graph, topic.name))


def publishers(graph: Graph) -> Iterator[Finding]:
    """Look for topics that two publish, and for two types of one topic."""
    rivals: dict[str, list[str]] = {}
    for topic in graph.own_topics():
        if len(topic.publishers) > 1:
            rivals.setdefault(', '.join(sorted(p.node for p in topic.publishers)),
                              []).append(topic.name)
    for pair, (first, *others) in rivals.items():
        yield Finding(first, FAIL, f'several publish it: {pair}'
                      + (f'; likewise {", ".join(others)}' if others else ''),
                      'end all but one of them, or put each in a namespace of its own '
                      '(namespace:=robot1); no camera_node where a recording is played')
    for topic in graph.topics.values():
        if len(topic.types) > 1:
            yield Finding(topic.name, FAIL, 'its ends have different types: ' + ', '.join(sorted(
                f'{e.node} {e.type_name}' for e in (*topic.publishers, *topic.subscribers))),
                'remap one of them to another topic: --ros-args -r OLD:=NEW')
            continue
        for publisher, subscriber in product(topic.publishers, topic.subscribers):
            if (publisher.type_hash and subscriber.type_hash
                    and publisher.type_hash != subscriber.type_hash):
                yield Finding(topic.name, FAIL, f'{publisher.node} and {subscriber.node} have '
                              f'different versions of {publisher.type_name}',
                              'use the same distribution of ROS 2 and the same version of '
                              f'{publisher.type_name.split("/")[0]} on both sides')


def quality_of_service(graph: Graph) -> Iterator[Finding]:
    """Look for subscribers that ask for more than is offered: nothing reaches them."""
    fine = 0
    for topic in graph.topics.values():
        fine += bool(topic.publishers and topic.subscribers and not topic.mismatches)
        for publisher, subscriber, reason in topic.mismatches:
            yield Finding(topic.name, FAIL, f'{subscriber} gets nothing from {publisher}: '
                          f'{reason}', _qos_cure(graph, topic.name, publisher, subscriber))
    if fine and not any(topic.mismatches for topic in graph.topics.values()):
        yield Finding('quality of service', OK, f'the two sides of all {fine} topics fit')


def flow(graph: Graph) -> Iterator[Finding]:
    """Look at the rate of every topic, and for what stopped."""
    unheard = []
    for topic in graph.own_topics():
        if not topic.publishers:
            continue
        ends = f'from {_ends(topic.publishers)}'
        readers = f'to {_ends(topic.subscribers)}' if topic.subscribers else 'nobody subscribes'
        if topic.unknown_type:
            yield Finding(topic.name, SKIP, topic.unknown_type)
        elif not topic.heard_s:
            unheard.append(topic.name)
        elif topics.is_occasional(topic.name):
            yield Finding(topic.name, OK, f'{len(topic.arrivals)} messages in {topic.heard_s:.1f} '
                          f's, as things happen, {ends}, {readers}')
        elif not topic.arrivals:
            yield from _silent(graph, topic, f'from {_names([p.node for p in topic.publishers])}')
        elif topic.latched:
            yield Finding(topic.name, OK, f'latched, {ends}, {readers}')
        else:
            yield from _moving(graph, topic, f'{ends}, {readers}')
    if unheard:
        yield Finding('not made', OK, 'nobody subscribes to ' + ', '.join(unheard))


def _moving(graph: Graph, topic: Topic, ends: str) -> Iterator[Finding]:
    gap, age = topic.longest_gap_s, topic.age_s
    seen = f'{topic.rate:.1f} Hz'
    if age is not None and not graph.plays_a_recording:
        seen += f', {_duration(age)} old'
    if len(topic.arrivals) == 1:
        yield Finding(topic.name, WARN, f'one message in {topic.heard_s:.1f} s, {ends}',
                      'look at the node that publishes it, if more are meant to come; '
                      '--duration 20 listens longer')
    elif gap > max(_GAP_S, _GAP_PERIODS / topic.rate):
        yield Finding(topic.name, WARN, f'{seen}, with a gap of {gap:.1f} s, {ends}', _SLOW)
    else:
        yield Finding(topic.name, OK, f'{seen}, {ends}')


def _silent(graph: Graph, topic: Topic, ends: str) -> Iterator[Finding]:
    """Say why nothing came, or whose fault it is."""
    publishing = [p.node for p in topic.publishers]
    seen = f'nothing came {ends} within {topic.heard_s:.1f} s'
    if topic.mismatches and len(topic.mismatches) >= len(topic.subscribers):
        return  # named already
    if _DEBUG in topic.name:
        yield Finding(topic.name, FAIL, f'{seen}: the debug images are off',
                      f'ros2 param set {publishing[0]} config_mode true')
        return
    if topic.name.endswith('/compressed') or topic.latched:
        raw = graph.topics.get(topic.name.removesuffix('/compressed'))
        if topic.latched or (raw and not raw.arrivals and raw.heard_s):
            yield Finding(topic.name, SKIP, seen)
            return
    dry = [t.name for node in publishing for t in graph.inputs(node)
           if t.heard_s and not t.arrivals and not t.latched]
    dry += [t.name for node in publishing for t in graph.inputs(node)
            if not (t.publishers or topics.is_optional(t.name))]
    if dry:
        yield Finding(topic.name, SKIP, f'{seen}, since {dry[0]} is silent')
        return
    said = [graph.statuses[node] for node in publishing if node in graph.statuses]
    if any(not status.healthy for status in said):
        yield Finding(topic.name, SKIP, f'{seen}, which says above what is wrong with it')
        return
    words = [s.values.get('camera') or s.message for s in said]
    others = [t for node in publishing for t in graph.outputs(node) if t.arrivals]
    if words and words[0].startswith('closed by'):
        cure = (f'ros2 service call {publishing[0]}/set_streaming std_srvs/srv/SetBool '
                '"{data: true}"')
    elif others and 'mask' in topic.name:
        cure = ('the source has frames and no masks: give camera_node a network (parameter '
                'network), or a recording that has masks')
    elif others and 'image' in topic.name:
        cure = ('the source has masks and no frames, so there is no overlay: name the frames '
                'with the parameter recorded_image, if the recording has any')
    elif said:
        cure = f'look at the log of {publishing[0]}; start it again'
    else:
        cure = f'{publishing[0]} hangs or has no input: look at its log, and start it again'
    yield Finding(topic.name, FAIL, seen + (f'; the node says: {words[0]}' if words else ''), cure)


def losses(graph: Graph) -> Iterator[Finding]:
    """Look for messages that did not arrive."""
    for topic in graph.own_topics():
        sent, lost = topic.sent, topic.lost
        if sent < _FEW or lost <= (1 - _ARRIVED) * sent:
            continue
        if any(p.elsewhere for p in topic.publishers):
            cure = ('it comes from another machine: subscribe to the /compressed topic, use a '
                    'cable instead of Wi-Fi')
        elif graph.busy > 0.9:
            cure = f'the processors are busy for {100 * graph.busy:.0f} % of the time: {_SLOW}'
        else:
            cure = ('start the publisher with the Fast DDS profile of this package: "Topics" in '
                    'the README says how')
        yield Finding(topic.name, FAIL, f'{lost} of {sent} messages of '
                      f'{_names([p.node for p in topic.publishers])} did not arrive here', cure)


def speed(graph: Graph) -> Iterator[Finding]:
    """Look for nodes that do not keep up with their input."""
    for node in graph.pipeline:
        inputs = [t for t in graph.inputs(node) if t.sent >= _FEW and not t.latched]
        outputs = [t for t in graph.outputs(node) if t.arrivals and not t.latched]
        status = graph.statuses.get(node)
        # What it refuses is no matter of speed; it says itself what is wrong with it.
        if not inputs or not outputs or (status and _REFUSED in status.values):
            continue
        given, made = min(inputs, key=_rate), max(outputs, key=_rate)
        # From the first answer on: a node that just started had nothing to answer before.
        asked = [a for a in given.arrivals if a.received_ns >= made.arrivals[0].received_ns]
        share = made.sent / max(1.0, len(asked) * given.sent / len(given.arrivals))
        late = _lateness_s(given, made)
        busy = f'; the processors are busy for {100 * graph.busy:.0f} % of the time'
        if share < _DONE:
            yield Finding(node, FAIL, f'it processes {100 * share:.0f} % of {given.name}, '
                          f'{_rate(made):.1f} per second{busy}', _SLOW)
        elif late is not None and late > _LATE_S:
            yield Finding(node, FAIL, f'its answers come {late:.1f} s after their input{busy}',
                          _SLOW)


def pairs(graph: Graph) -> Iterator[Finding]:
    """Compare the rate of the masks with that of the frames."""
    for topic in graph.own_topics():
        if not topic.name.endswith('/semantic_mask') or graph.plays_a_recording:
            continue
        frames = graph.topics.get(topic.name.removesuffix('semantic_mask') + 'image_raw')
        if frames and frames.sent >= _FEW and topic.arrivals and (
                _rate(topic) < 0.8 * _rate(frames)):
            yield Finding(topic.name, WARN,
                          f'{_rate(topic):.1f} masks for {_rate(frames):.1f} frames per second',
                          'the network does not keep up with the frames: '
                          f'ros2 param set {_names([p.node for p in frames.publishers])} '
                          'frame_rate 0.0 (what an AI Camera keeps up with), or '
                          f'{max(1.0, _rate(topic)):.1f}')


def stamps(graph: Graph) -> Iterator[Finding]:
    """Look for stamps that are missing, old, in the future or that jump."""
    stamped = [t for t in graph.own_topics() if t.age_s is not None and not t.latched]
    # Every node keeps the stamps of its input: the first topic of each fault names the cause.
    stamped.sort(key=lambda topic: _depth(topic.name))
    reported = set()
    for topic in stamped:
        kind, seen, cure = _stamp_fault(graph, topic)
        if kind and kind not in reported:
            reported.add(kind)
            yield Finding(topic.name, FAIL, seen, cure)
    if reported or not stamped:
        return
    if graph.plays_a_recording:
        yield Finding('stamps', OK, 'of a recording, which keeps its own')
    else:
        oldest = max(stamped, key=lambda topic: topic.age_s or 0.0)
        yield Finding('stamps', OK, f'messages are at most {oldest.age_s:.2f} s old when they '
                      f'arrive ({oldest.name}; median)')


def _stamp_fault(graph: Graph, topic: Topic) -> tuple[str, str, str]:
    """Return the kind of fault ('': none), what was seen, and the cure."""
    arrived = [(a.stamp_ns, a.received_ns) for a in topic.arrivals if a.stamp_ns is not None]
    publisher = _names([p.node for p in topic.publishers])
    elsewhere = any(p.elsewhere for p in topic.publishers)
    from_camera = 'have the publisher stamp with the time at which the frame was taken'
    in_step = 'keep the clocks of both machines in step (chrony)'
    zeros = sum(stamp_ns == 0 for stamp_ns, _ in arrived)
    if zeros:
        return 'zero', f'{zeros} of {len(arrived)} messages of {publisher} have no stamp', (
            from_camera)
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in zip(arrived, arrived[1:], strict=False)]
    back = [step for step, _ in steps if step < 0]
    if any(len(t.publishers) > 1 for t in graph.own_topics()):
        return '', '', ''  # named already, and what follows from it
    if back:
        return 'back', (f'{len(back)} of {len(arrived)} stamps of {publisher} go back, by up to '
                        f'{_duration(-min(back) / 1e9)}'), (
            'set the clock of its machine before its nodes are started (timedatectl must say '
            'that it is synchronized)' + ('; a recording that starts again does this, too'
                                          if graph.plays_a_recording else ''))
    if graph.plays_a_recording:
        return '', '', ''
    jump = max((abs(step - took) for step, took in steps), default=0) / 1e9
    if jump > _JUMP_S:
        return 'jump', f'the stamps of {publisher} jump by {_duration(jump)}', (
            'set the clock of its machine before its nodes are started: timedatectl must say '
            'that it is synchronized')
    age = topic.age_s or 0.0
    if age < -_AHEAD_S:
        return 'future', (f'messages of {publisher} are stamped {_duration(-age)} in the '
                          'future'), in_step if elsewhere else from_camera
    if age > _TOO_OLD_S:
        return 'old', (f'messages of {publisher} are {_duration(age)} old when they '
                       'arrive'), in_step if elsewhere else (
            f'{from_camera}; if it plays a recording, publish /clock with it; if a node is '
            'named above that does not keep up, mend that first')
    return '', '', ''


def clock_jumps(graph: Graph) -> Iterator[Finding]:
    """Look whether the clock of this machine jumped meanwhile."""
    if abs(graph.clock_jump_s) > _CLOCK_JUMP_S:
        yield Finding('clock', FAIL, f'it jumped by {graph.clock_jump_s:+.1f} s within '
                      f'{graph.duration_s:.0f} s', 'have chrony slew it (no makestep after the '
                      'start), and start the nodes when it is right')


CHECKS = (nodes, missing_nodes, missing_publishers, publishers, quality_of_service, flow, losses,
          speed, pairs, stamps, clock_jumps)


def _runs(status: Status | None) -> bool:
    return status is not None and float(status.values.get('rate (Hz)', '0')) > 0


def _rate(topic: Topic) -> float:
    """Return messages per second, silence at the ends included; for topics that are heard."""
    return topic.sent / topic.heard_s


def _lateness_s(given: Topic, made: Topic) -> float | None:
    """Return how long after the input of a stamp its answer arrives: the median."""
    received = {a.stamp_ns: a.received_ns for a in given.arrivals}
    delays = [a.received_ns - received[a.stamp_ns] for a in made.arrivals
              if a.stamp_ns is not None and a.stamp_ns in received]
    return median(delays) / 1e9 if delays else None


def _start_cure(graph: Graph, topic: str) -> str:
    for node in PIPELINE_NODES:
        at = topic.rfind(f'/{node.removesuffix("_node")}/')
        if at >= 0:
            namespace = topic[:at]
            if f'{namespace}/{node}' in graph.nodes:
                break
            return (f'start {node}: ros2 run instseg_ros {node}'
                    + _in_namespace(namespace))
    return f'start what publishes it, or remap the input: --ros-args -r {topic}:=OTHER'


def _in_namespace(namespace: str) -> str:
    return f' --ros-args -r __ns:={namespace}' if namespace else ''


def _qos_cure(graph: Graph, topic: str, publisher: Endpoint, subscriber: Endpoint) -> str:
    if publisher.durability != subscriber.durability == 'transient_local':
        cure = f'have {publisher.node} offer transient_local durability'
        # What nodes of this package ask for is needed: class names come once.
        return cure if subscriber.node in graph.pipeline else (
            f'have {subscriber.node} ask for volatile durability')
    cures = []
    for end, kind, verb, policy in ((subscriber, 'subscription', 'ask for', 'best_effort'),
                                    (publisher, 'publisher', 'offer', 'reliable')):
        cures.append(f'have {end.node} {verb} {policy} reliability')
        if end.node in graph.pipeline:
            cures[-1] += (' (start it with --ros-args -p '
                          f'qos_overrides.{topic}.{kind}.reliability:={policy})')
    return ', or '.join(cures)


def _depth(topic: str) -> int:
    """Return how far a topic is from the camera."""
    places = [k for k, part in enumerate(('/camera/', '/instance_segmentation/', '/tracker/'))
              if part in topic]
    return places[0] if places else 3


def _duration(seconds: float) -> str:
    for unit, name in ((_DAY_S, 'days'), (3600.0, 'hours'), (60.0, 'minutes')):
        if seconds >= 2 * unit:
            return f'{seconds / unit:.0f} {name}'
    return f'{seconds:.2f} s'


def _ends(ends: list[Endpoint]) -> str:
    return ' and '.join(f'{end.node} ({end.reliability})' for end in ends)


def _names(nodes: list[str]) -> str:
    return ' and '.join(sorted(set(nodes)))
