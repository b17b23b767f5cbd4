"""
What an ONNX file says of its inputs and outputs.

OpenCV runs such networks but does not tell. The file is a protobuf message as ``onnx.proto`` of
https://github.com/onnx/onnx describes; the package ``onnx`` would be 20 MB for these few fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FLOAT, UINT8, FLOAT16 = 1, 2, 10  # of TensorProto.DataType
# What only moves values about, or changes their type.
_MOVES = ('Cast', 'Flatten', 'Identity', 'Reshape', 'Resize', 'Squeeze', 'Transpose', 'Unsqueeze',
          'Upsample')


@dataclass(frozen=True)
class Tensor:
    """
    An input or an output.

    Attributes
    ----------
    name : str
    kind : int
        A number of TensorProto.DataType.
    shape : tuple of int
        0 for each size that the file leaves open.
    made_by : str
        Of an output: the operation that gave its values, before they were only moved about.

    """

    name: str
    kind: int
    shape: tuple[int, ...]
    made_by: str = ''

    def __str__(self) -> str:
        """Return name and shape."""
        return f'{self.name} ({"x".join(str(n) if n else "?" for n in self.shape)})'


def read_signature(path: Path) -> tuple[list[Tensor], list[Tensor], dict[str, str]]:
    """
    Return the inputs of an ONNX file, without the weights, its outputs, and notes of its maker.

    Raises
    ------
    ValueError
        It is no ONNX file.

    """
    inputs: list[Tensor] = []
    outputs: list[Tensor] = []
    weights: set[str] = set()
    makers: dict[str, tuple[str, list[str]]] = {}
    try:
        model = list(_fields(memoryview(path.read_bytes())))
        notes = dict(_note(value) for field, value in model if field == 14)
        for field, value in _fields(next(value for field, value in model if field == 7)):
            if field == 1:
                made = list(_fields(value))
                sources = [_text(v) for f, v in made if f == 1]
                operation = next((_text(v) for f, v in made if f == 4), '')
                makers.update({_text(v): (operation, sources) for f, v in made if f == 2})
            elif field == 5:
                weights.add(next((_text(v) for f, v in _fields(value) if f == 8), ''))
            elif field in (11, 12):
                (inputs if field == 11 else outputs).append(_tensor(value))
    except (StopIteration, IndexError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ValueError('its bytes are not those of an ONNX file') from error

    def operation_of(name: str) -> str:
        operation, sources = makers.get(name, ('', []))
        return operation_of(sources[0]) if operation in _MOVES and sources else operation

    return ([i for i in inputs if i.name not in weights],
            [Tensor(o.name, o.kind, o.shape, operation_of(o.name)) for o in outputs], notes)


def _tensor(data: memoryview) -> Tensor:
    name, kind, shape = '', 0, []
    for field, value in _fields(data):
        if field == 1:
            name = _text(value)
        elif field == 2:
            for number, part in (f for n, v in _fields(value) if n == 1 for f in _fields(v)):
                if number == 1:
                    kind = int(part)
                else:
                    shape = [next((int(v) for f, v in _fields(d) if f == 1), 0)
                             for n, d in _fields(part) if n == 1]
    return Tensor(name, kind, tuple(shape))


def _note(data: memoryview) -> tuple[str, str]:
    """Return a key and its value."""
    parts = {field: _text(value) for field, value in _fields(data)}
    return parts.get(1, ''), parts.get(2, '')


def _text(data: memoryview) -> str:
    return str(data, 'utf-8')


def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """Yield the number of each field of a message with its bytes, or with its number."""
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    while at < len(data):
        key = number()
        kind = key & 7
        if kind == 0:
            yield key >> 3, number()
            continue
        size = number() if kind == 2 else {1: 8, 5: 4}[kind]
        yield key >> 3, data[at:at + size]
        at += size
