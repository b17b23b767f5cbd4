"""PNGs of label images say what the image says, to readers that know nothing of how."""

import cv2
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as arrays
from instseg_ros.core.images import decode, encode
from instseg_ros.core.label_png import encode_changes
import numpy as np
import pytest


def read(png):
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
@given(st.data())
def test_every_label_comes_back(dtype, data):
    shape = data.draw(arrays.array_shapes(min_dims=2, max_dims=2, max_side=9))
    # Large flat areas as well as single pixels.
    labels = np.kron(data.draw(arrays.arrays(dtype, shape)),
                     np.ones((1, data.draw(st.integers(1, 400))), dtype))
    found = read(encode_changes(labels, labels.size))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, labels)


@pytest.mark.parametrize('width', range(1, 600, 7))
def test_runs_of_every_length(width):
    labels = np.zeros((4, width), np.uint8)
    labels[1, width // 3:width // 2] = 1
    labels[2, -1] = 200
    np.testing.assert_array_equal(read(encode_changes(labels, labels.size)), labels)


def test_is_as_small_as_a_general_encoder_makes_it():
    labels = np.zeros((480, 640), np.uint16)
    for k in range(8):
        cv2.circle(labels, (60 + 70 * k, 200 + 10 * k), 30, k + 1, cv2.FILLED)
    _, general = cv2.imencode('.png', labels)
    assert len(encode_changes(labels, labels.size)) < 1.5 * len(general)


def test_noise_is_left_to_the_general_encoder():
    noise = np.random.default_rng(0).integers(0, 256, (40, 50), np.uint8)
    assert encode_changes(noise, noise.size // 2) is None
    np.testing.assert_array_equal(decode(encode(noise), 'mono8'), noise)
