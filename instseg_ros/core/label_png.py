"""
Label images as PNG, at the cost of what changes from row to row.

Of 640x480 labels some five hundred differ from the one above. Filtered by the row above the image
is zero but there, and runs of zeros are written without looking at them: in 0.5 ms, where a
general encoder takes 2 ms for the 600 kB of 16-bit labels.
"""

from __future__ import annotations

from functools import lru_cache
import struct
import zlib

import numpy as np
import numpy.typing as npt

_UP = 2  # the filter that takes the row above away
_LONGEST = 258  # zeros that deflate repeats at once
_END = 256
_RUN = 256  # of n zeros is symbol _RUN + n here
_ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)  # RFC 1951, 3.2.7


def encode_changes(pixels: npt.NDArray[np.uint8 | np.uint16], most: int) -> bytes | None:
    """
    Return a label image as PNG, or None where a general encoder does better.

    Parameters
    ----------
    pixels : ndarray of shape (H, W), uint8 or uint16
        The labels.
    most : int
        Pixels that may differ from the one above.

    """
    height, width = pixels.shape
    changed = np.flatnonzero(pixels[1:] != pixels[:-1])
    if len(changed) > most:
        return None
    first = np.flatnonzero(pixels[0])
    flat, big = pixels.ravel(), pixels.dtype.newbyteorder('>')
    now = flat[np.concatenate([first, changed + width])]
    above = np.concatenate([np.zeros(len(first), pixels.dtype), flat[changed]])
    row, column = np.divmod(np.concatenate([first, changed + width]), width)
    # The bytes of the filtered image: each row has its filter in front.
    size = pixels.itemsize
    stride = 1 + width * size
    places = (row * stride + 1 + column * size)[:, None] + np.arange(size)
    values = now.astype(big).view(np.uint8) - above.astype(big).view(np.uint8)
    places = np.concatenate([np.arange(height) * stride, places.ravel()[values > 0]])
    values = np.concatenate([np.full(height, _UP, np.uint8), values[values > 0]])
    order = np.argsort(places)
    header = struct.pack('>IIBBBBB', width, height, 8 * size, 0, 0, 0, 0)
    data = _compressed(places[order], values[order], height * stride)
    return (b'\x89PNG\r\n\x1a\n' + _chunk(b'IHDR', header) + _chunk(b'IDAT', data)
            + _chunk(b'IEND', b''))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def _compressed(places: npt.NDArray[np.intp], values: npt.NDArray[np.uint8], total: int) -> bytes:
    """Return a zlib stream of ``total`` bytes that are zero but in some places, the first too."""
    zeros = np.diff(places, append=total) - 1
    # The first zero after another byte is written out: runs repeat the byte before them.
    repeats, rest = np.divmod(np.maximum(zeros - 1, 0), _LONGEST)
    ones = np.ones_like(zeros)
    symbols = np.repeat(
        np.stack([values, 0 * ones, (_RUN + _LONGEST) * ones, _RUN + rest], axis=1).ravel(),
        np.stack([ones, zeros > 0, repeats, rest > 0], axis=1).ravel())
    head, codes, lengths, end = _table()
    length = lengths[symbols]
    starts = np.cumsum(length) - length
    at = np.arange(length.sum()) - np.repeat(starts, length)
    bits = np.repeat(codes[symbols], length) >> at & 1
    # Adler-32 of bytes that are nearly all zero.
    low = (1 + int(values.sum(dtype=np.int64))) % 65521
    high = (total + int(((total - places) % 65521 * values).sum())) % 65521
    return b''.join([b'\x78\x01', np.packbits(
        np.concatenate([head, bits.astype(np.uint8), end]), bitorder='little').tobytes(),
        struct.pack('>HH', high, low)])


@lru_cache(maxsize=1)
def _table() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.int64],
                      npt.NDArray[np.uint8]]:
    """
    Return the code of all label images: block header, code and length by symbol, end of block.

    One code for all is as good as one for each, as long as it is short for what all have: zeros,
    their runs, filters and small steps. Rare symbols get what is left.
    """
    widths = np.full(286, 13)
    widths[257:285] = 7
    widths[[1, *range(3, 10), *range(248, 256)]] = 7
    widths[[0, 285]], widths[_UP] = 2, 3
    rare = np.flatnonzero(widths > 7)
    widths[rare[:256 - len(rare)]] = 12  # as many as make the code complete
    literals = _canonical(widths)
    of_widths = {13: 1, 7: 2, 12: 3, 2: 4, 3: 5, 1: 5}
    meta = _canonical(np.array([of_widths.get(w, 0) for w in range(19)]))
    used = 18
    head = _bits(1, 1) + _bits(2, 2) + _bits(29, 5) + _bits(0, 5) + _bits(used - 4, 4)
    for width in _ORDER[:used]:
        head += _bits(of_widths.get(width, 0), 3)
    for width in [*widths.tolist(), 1]:  # and one distance, of one bit: the byte before
        head += meta[width]
    written = [literals[value] for value in range(256)]
    written += [[], literals[0], 2 * literals[0]]
    # Lengths share symbols, which extra bits tell apart: RFC 1951, 3.2.5.
    symbol, extra, lowest = 257, 0, 3
    for run in range(3, _LONGEST):
        if run == lowest + (1 << extra):
            symbol, lowest = symbol + 1, run
            extra = max(0, (symbol - 261) // 4)
        written.append(literals[symbol] + _bits(run - lowest, extra) + [0])
    written.append(literals[285] + [0])
    codes = np.array([sum(bit << k for k, bit in enumerate(bits)) for bits in written])
    return (np.array(head, np.uint8), codes, np.array([len(bits) for bits in written]),
            np.array(literals[_END], np.uint8))


def _bits(value: int, count: int) -> list[int]:
    """Return the bits of a number, the lowest first."""
    return [value >> k & 1 for k in range(count)]


def _canonical(widths: npt.NDArray[np.int64]) -> list[list[int]]:
    """Return the Huffman code of each symbol, in order of its bits: RFC 1951, 3.2.2."""
    codes: list[list[int]] = [[] for _ in widths]
    code = width = 0
    for symbol in np.argsort(widths, kind='stable').tolist():
        if widths[symbol]:
            code <<= int(widths[symbol]) - width
            width = int(widths[symbol])
            codes[symbol] = _bits(code, width)[::-1]
            code += 1
    return codes
