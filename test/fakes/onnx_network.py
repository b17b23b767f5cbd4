"""A network of one 1x1 convolution, as an ONNX file: what is red is a person, the rest is not."""
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


def _node(step, inputs, output):
    operation, attributes = step
    inputs = [*inputs, *(['w', 'b'] if operation == 'Conv' else [])]
    return (b''.join(_text(1, name) for name in inputs) + _text(2, output) + _text(4, operation)
            + b''.join(_part(5, _text(1, name) + (
                b''.join(_number(8, n) for n in value) + _number(20, 7)
                if isinstance(value, list) else _number(3, value) + _number(20, 2)))
                for name, value in attributes.items()))


def _tensor(name, shape, values):
    return (b''.join(_number(1, n) for n in shape) + _number(2, 1) + _text(8, name)
            + _part(9, struct.pack(f'<{len(values)}f', *values)))


def _value(name, shape, kind=FLOAT):
    dimensions = b''.join(_part(1, _number(1, n)) for n in shape)
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
