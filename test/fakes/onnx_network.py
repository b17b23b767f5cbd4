"""A network of one 1x1 convolution, as an ONNX file: what is red is a person, the rest is not."""
import struct

PERSON, CLASSES = 15, 21


def make_onnx(path):
    """Write the file: protobuf by hand, for the package that would do it is large."""
    # The score of a person is red minus the mean of green and blue, of all other classes a little.
    weights = [0.0] * (CLASSES * 3)
    weights[3 * PERSON:3 * PERSON + 3] = [1.0, -0.5, -0.5]
    biases = [-9.0] * CLASSES
    biases[0], biases[PERSON] = 0.5, 0.0
    node = (_text(1, 'x') + _text(1, 'w') + _text(1, 'b') + _text(2, 'y') + _text(4, 'Conv')
            + _part(5, _text(1, 'kernel_shape') + _number(8, 1) + _number(8, 1) + _number(20, 7)))
    graph = (_part(1, node) + _text(2, 'g')
             + _part(5, _tensor('w', (CLASSES, 3, 1, 1), weights))
             + _part(5, _tensor('b', (CLASSES,), biases))
             + _part(11, _value('x', (1, 3, 48, 64)))
             + _part(12, _value('y', (1, CLASSES, 48, 64))))
    path.write_bytes(_number(1, 8) + _part(7, graph) + _part(8, _text(1, '') + _number(2, 13)))
    return path


def _tensor(name, shape, values):
    return (b''.join(_number(1, n) for n in shape) + _number(2, 1) + _text(8, name)
            + _part(9, struct.pack(f'<{len(values)}f', *values)))


def _value(name, shape):
    dimensions = b''.join(_part(1, _number(1, n)) for n in shape)
    return _text(1, name) + _part(2, _part(1, _number(1, 1) + _part(2, dimensions)))


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
