"""What a mask may be: one list for the nodes, for recordings and for `instseg info`."""

import cv2
from instseg_ros.errors import MessageError
from instseg_ros.messages.encodings import (encode, ENCODINGS, invented_ids, is_jpeg,
                                            MASK_ENCODINGS, read_image, read_mask)
import numpy as np
import pytest
import recorded

IDS = np.array([[0, 7, 15], [255, 100, 127]])
SIGNED = {'8SC1': 127}


def in_encoding(ids, encoding):
    kind, channels = ENCODINGS[encoding]
    pixels = ids.astype(kind)
    if channels == 1:
        return pixels
    opaque = np.full((*ids.shape, channels), 255, kind)
    opaque[..., :3] = pixels[..., np.newaxis]
    return opaque


@pytest.mark.parametrize('encoding', MASK_ENCODINGS)
def test_mask_in_every_encoding(encoding):
    ids = np.minimum(IDS, SIGNED.get(encoding, 255))
    message = recorded.raw(0, in_encoding(ids, encoding), encoding)
    mask = read_mask(message)
    assert mask.dtype == np.uint8
    assert mask.flags.c_contiguous
    assert mask.tolist() == ids.tolist()


def test_list_has_what_simulators_and_drivers_write():
    assert {'mono8', '8UC1', 'mono16', '16UC1', '32SC1', 'rgb8', 'bgr8', 'rgba8', 'bgra8'} <= {
        *MASK_ENCODINGS}


@pytest.mark.parametrize('pixels', [
    IDS.astype(np.uint8), IDS.astype(np.uint16), np.dstack([IDS.astype(np.uint8)] * 3)])
def test_mask_as_png(pixels):
    assert read_mask(recorded.compressed(0, pixels)).tolist() == IDS.tolist()


def test_png_with_transparency():
    pixels = in_encoding(IDS, 'bgra8')
    pixels[..., 3] = 9
    assert read_mask(recorded.compressed(0, pixels)).tolist() == IDS.tolist()


@pytest.mark.parametrize(('pixels', 'encoding', 'said'), [
    (np.array([[0, 300]], np.uint16), '16UC1', 'class ids in 0..255, got 300'),
    (np.array([[0, 70000]], np.int32), '32SC1', 'class ids in 0..255, got 70000'),
    (np.array([[0, -1]], np.int32), '32SC1', 'class ids in 0..255, got -1'),
    (np.array([[[3, 3, 3], [0, 0, 128]]], np.uint8), 'rgb8',
     r'got colours: \[0, 0, 128\] at row 0, column 1'),
    (np.zeros((1, 2), np.float32), '32FC1', "expected a mask in one of .*mono16.*, got '32FC1'"),
])
def test_ids_that_do_not_fit_are_refused_by_value(pixels, encoding, said):
    with pytest.raises(MessageError, match=said):
        read_mask(recorded.raw(0, pixels, encoding))


@pytest.mark.parametrize('encoding', ['bgra8', 'rgba8', 'bgr8', 'rgb8', '8UC3', '8UC4'])
def test_frames_with_channels(encoding):
    colours = {'b': 10, 'g': 20, 'r': 30, 'a': 255}
    order = {'8UC3': 'bgr', '8UC4': 'bgra'}.get(encoding, encoding[:-1])
    pixels = np.full((4, 6, len(order)), [colours[c] for c in order], np.uint8)
    assert read_image(recorded.raw(0, pixels, encoding), 'bgr8')[3, 5].tolist() == [10, 20, 30]


@pytest.mark.parametrize('quality', [0, 90])
def test_image_that_is_cut_off_is_refused(quality, capfd):
    chance = np.random.default_rng(0).integers(0, 255, (120, 160, 3)).astype(np.uint8)
    message = recorded.compressed(0, chance, quality)
    message.data = message.data[:len(message.data) // 2]
    with pytest.raises(MessageError, match=f'got {len(message.data)} bytes that are cut off'):
        read_image(message, 'bgr8')
    assert capfd.readouterr().err == ''


def test_ids_that_jpeg_invents_are_found():
    mask = np.zeros((120, 160), np.uint8)
    cv2.circle(mask, (60, 60), 30, 200, -1)
    cv2.circle(mask, (130, 60), 20, 7, -1)
    assert invented_ids(mask) == set()
    data = encode(mask, 85)
    assert is_jpeg(data)
    assert not is_jpeg(encode(mask))
    lossy = read_mask(recorded.compressed(0, mask, 85))
    assert len(invented_ids(lossy)) > 20
    assert not invented_ids(lossy) & {0, 200}
