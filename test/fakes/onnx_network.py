"""Networks of one 1x1 convolution, as ONNX files: what is red is a person, the rest is not."""
import struct

PERSON, CLASSES = 15, 21


SIZE = (48, 64)  # rows and columns
SCORES, IDS = (1, CLASSES, *SIZE), (1, *SIZE)
FLOAT, INT64 = 1, 7


def make_onnx(path, tail=(), shape=SCORES, kind=FLOAT, channels_last=False, aux=False):
    """
    Write the file: protobuf by hand, for the package that would do it is large.

    ``tail`` has pairs of an operation and its attributes that follow the convolution and make an
    output of ``shape`` and ``kind``; with one channel its value is 0.2 above 0 where it is red.
    ``aux`` adds a first output that says the opposite.
    """
    # The score of a person is red minus the mean of green and blue, of all other classes a little.
    if 1 in shape[1:]:
        weights, biases = [1.0, -0.5, -0.5], [-3.5]
    else:
        weights = [0.0] * (CLASSES * 3)
        weights[3 * PERSON:3 * PERSON + 3] = [1.0, -0.5, -0.5]
        biases = [-9.0] * CLASSES
        biases[0], biases[PERSON] = 0.5, 0.0
    steps = [('Conv', {'kernel_shape': [1, 1]}), *tail]
    if channels_last:
        steps.insert(0, ('Transpose', {'perm': [0, 3, 1, 2]}))
    names = ['x', *(f't{k}' for k in range(1, len(steps))), 'y']
    nodes = [_node(step, names[k:k + 1], names[k + 1]) for k, step in enumerate(steps)]
    outputs = [_value('y', shape, kind)]
    if aux:
        nodes.insert(0, _node(('Neg', {}), ['y'], 'aux'))
        nodes.append(nodes.pop(0))
        outputs.insert(0, _value('aux', shape, kind))
    graph = (b''.join(_part(1, node) for node in nodes) + _text(2, 'g')
             + _part(5, _tensor('w', (len(biases), 3, 1, 1), weights))
             + _part(5, _tensor('b', (len(biases),), biases))
             + _part(11, _value('x', (1, *SIZE, 3) if channels_last else (1, 3, *SIZE)))
             + b''.join(_part(12, output) for output in outputs))
    path.write_bytes(_number(1, 8) + _part(7, graph) + _part(8, _text(1, '') + _number(2, 13)))
    return path


YOLO_SIZE, YOLO_CLASSES = 64, 20
BOXES = sum((YOLO_SIZE // stride) ** 2 for stride in (8, 16, 32))


def make_yolo(path, rows=4 + YOLO_CLASSES + 1, boxes=BOXES, tail=(), masks=None, names=None,
              open_size=False):
    """
    Write a network with the outputs of YOLO-seg, whose class 14 is what is red.

    There is a box of 48x48 pixels around each cell of 8x8, whose score is the red of the 16x16
    pixels in its middle; the prototype is how red cells of 4x4 pixels are. `rows`, `boxes` and
    `masks` are what the file says of its outputs; `tail` follows the boxes.
    """
    cells = YOLO_SIZE // 8
    near, far = cells ** 2, BOXES - cells ** 2
    places = [8 * (k + 0.5) for k in range(cells)]
    sides = [place for _ in range(cells) for place in places] + [
        place for place in places for _ in range(cells)] + [48.0] * (2 * near)
    person = PERSON - 1
    constants = {
        'w': _tensor('w', (1, 3, 1, 1), [1.0, -0.5, -0.5]), 'b': _tensor('b', (1,), [0.0]),
        'half': _tensor('half', (1,), [-0.43]), 'sides': _tensor('sides', (1, 4, near), sides),
        'before': _tensor('before', (1, person, near), [0.0] * (person * near)),
        'after': _tensor('after', (1, YOLO_CLASSES - person - 1, near),
                         [0.0] * ((YOLO_CLASSES - person - 1) * near)),
        'one': _tensor('one', (1, 1, near), [1.0] * near),
        'far': _tensor('far', (1, 5 + YOLO_CLASSES, far), [0.0] * ((5 + YOLO_CLASSES) * far)),
        'flat': _integers('flat', [1, 1, near])}
    steps = [('Conv', {'kernel_shape': [1, 1]}, ['x', 'w', 'b'], 'red'),
             ('AveragePool', {'kernel_shape': [4, 4], 'strides': [4, 4]}, ['red'], 'cells'),
             ('Add', {}, ['cells', 'half'], 'output1'),
             ('AveragePool', {'kernel_shape': [16, 16], 'strides': [8, 8], 'pads': [4, 4, 4, 4]},
              ['red'], 'grid'),
             ('Reshape', {}, ['grid', 'flat'], 'score'),
             ('Concat', {'axis': 1}, ['sides', 'before', 'score', 'after', 'one'], 'near'),
             ('Concat', {'axis': 2}, ['near', 'far'], 'output0' if not tail else 't0')]
    steps += [(name, attributes, [f't{k}'], f't{k + 1}' if k + 1 < len(tail) else 'output0')
              for k, (name, attributes) in enumerate(tail)]
    side = 0 if open_size else YOLO_SIZE
    graph = (b''.join(_part(1, _operation(*step)) for step in steps) + _text(2, 'g')
             + b''.join(_part(5, constant) for constant in constants.values())
             + _part(11, _value('x', (1, 3, side, side)))
             + _part(12, _value('output0', (1, rows, 0 if open_size else boxes)))
             + _part(12, _value('output1', masks or (1, 1, side // 4, side // 4))))
    note = _part(14, _text(1, 'names') + _text(2, str(names))) if names else b''
    path.write_bytes(_number(1, 8) + _part(7, graph) + _part(8, _text(1, '') + _number(2, 13))
                     + note)
    return path


def _node(step, inputs, output):
    operation, attributes = step
    return _operation(operation, attributes,
                      [*inputs, *(['w', 'b'] if operation == 'Conv' else [])], output)


def _operation(operation, attributes, inputs, output):
    return (b''.join(_text(1, name) for name in inputs) + _text(2, output) + _text(4, operation)
            + b''.join(_part(5, _text(1, name) + (
                b''.join(_number(8, n) for n in value) + _number(20, 7)
                if isinstance(value, list) else _number(3, value) + _number(20, 2)))
                for name, value in attributes.items()))


def _tensor(name, shape, values):
    return (b''.join(_number(1, n) for n in shape) + _number(2, 1) + _text(8, name)
            + _part(9, struct.pack(f'<{len(values)}f', *values)))


def _integers(name, values):
    return (_number(1, len(values)) + _number(2, INT64) + _text(8, name)
            + _part(7, b''.join(_varint(n) for n in values)))


def _value(name, shape, kind=FLOAT):
    dimensions = b''.join(_part(1, _number(1, n) if n else _text(2, 'any')) for n in shape)
    return _text(1, name) + _part(2, _part(1, _number(1, kind) + _part(2, dimensions)))


def _varint(value):
    out = b''
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def _number(field, value):
    return _varint(field << 3) + _varint(value)


def _part(field, data):
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _text(field, text):
    return _part(field, text.encode())
