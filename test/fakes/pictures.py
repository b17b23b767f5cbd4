"""Pictures of a red square that moves, as the sources of the tests need them."""
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import threading

import cv2
import numpy as np

SIZE = (64, 48)
PERSON = 15


def picture(index):
    """Return the frame, BGR, and the mask of one moment."""
    mask = np.zeros(SIZE[::-1], np.uint8)
    mask[10:30, 4 + 2 * index:24 + 2 * index] = PERSON
    frame = np.full((*SIZE[::-1], 3), (90, 90, 90), np.uint8)
    frame[mask == PERSON] = (20, 20, 240)
    return frame, mask


def make_folder(path, count=6):
    path.mkdir()
    for index in range(count):
        cv2.imwrite(str(path / f'{index:03}.png'), picture(index)[0])
    return path


def make_video(path, count=6, rate=25):
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), rate, SIZE)
    for index in range(count):
        video.write(picture(index)[0])
    video.release()
    return path


def make_film(path, times_ms, damaged=()):
    """Write JPEGs with a time each as Matroska, by hand: OpenCV writes constant rates only."""
    def part(number, data):
        return bytes.fromhex(number) + (len(data) | 1 << 56).to_bytes(8, 'big') + data

    def whole(number, value):
        return part(number, value.to_bytes(4, 'big'))

    blocks = b''
    for index, time_ms in enumerate(times_ms):
        jpeg = cv2.imencode('.jpg', picture(index)[0])[1].tobytes()
        if index in damaged:
            jpeg = b'no picture'
        blocks += part('a3', b'\x81' + time_ms.to_bytes(2, 'big') + b'\x80' + jpeg)
    video = part('e0', whole('b0', SIZE[0]) + whole('ba', SIZE[1]))
    track = part('ae', whole('d7', 1) + whole('73c5', 1) + whole('83', 1)
                 + part('86', b'V_MJPEG') + video)
    path.write_bytes(
        part('1a45dfa3', part('4282', b'matroska') + whole('4287', 2) + whole('4285', 2))
        + part('18538067', part('1549a966', whole('2ad7b1', 1_000_000)) + part('1654ae6b', track)
               + part('1f43b675', whole('e7', 0) + blocks)))
    return path


def make_recording(path, plugin, compressed, count=6, step_ns=40_000_000):
    """Write frames and masks as rosbag2 in a storage, raw or compressed."""
    from instseg_ros.messages.encodings import encode
    from instseg_ros.messages import typestore
    from rosbags.rosbag2 import StoragePlugin, Writer
    types = typestore()
    image = types.types['sensor_msgs/msg/' + ('CompressedImage' if compressed else 'Image')]
    header, time = types.types['std_msgs/msg/Header'], types.types['builtin_interfaces/msg/Time']
    with Writer(path, version=9, storage_plugin=getattr(StoragePlugin, plugin)) as writer:
        topics = [writer.add_connection(
            f'/camera/{name}' + '/compressed' * compressed, image.__msgtype__, typestore=types)
            for name in ('image_raw', 'semantic_mask')]
        for index in range(count):
            stamp_ns = 1_700_000_000_000_000_000 + index * step_ns
            head = header(stamp=time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9),
                          frame_id='camera')
            for topic, pixels, encoding in zip(topics, picture(index), ('bgr8', 'mono8'),
                                               strict=True):
                if compressed:
                    message = image(header=head, format='png', data=encode(pixels))
                else:
                    message = image(
                        header=head, height=pixels.shape[0], width=pixels.shape[1],
                        encoding=encoding, is_bigendian=0, step=pixels[0].nbytes,
                        data=pixels.ravel())
                writer.write(topic, stamp_ns,
                             types.serialize_cdr(message, image.__msgtype__))
    return path


class FakeDevice:
    """cv2.VideoCapture on a device: frames for as long as it is plugged in."""

    plugged = True
    hangs = None  # a threading.Event: reads wait for it

    def __init__(self, *_):
        self.index = 0

    def open(self, *_):  # noqa: A003
        return type(self).plugged

    def isOpened(self):  # noqa: N802
        return type(self).plugged

    def set(self, *_):  # noqa: A003
        return True

    def get(self, name):
        import time
        # As V4L2 does: the time of the frame by the clock that counts from the start.
        return time.monotonic() * 1000 - 5 if name == cv2.CAP_PROP_POS_MSEC else 0.0

    def read(self):
        import time
        if type(self).hangs is not None:
            type(self).hangs.wait()
        time.sleep(0.01)
        self.index += 1
        return (True, picture(self.index % 6)[0]) if type(self).plugged else (False, None)

    def release(self):
        pass


class NetworkCamera:
    """A camera in the network, as there are many: one JPEG after the other over HTTP."""

    def __init__(self):
        camera = self
        self.flowing, self._closed = threading.Event(), threading.Event()
        self.flowing.set()

        class Handler(BaseHTTPRequestHandler):

            def do_GET(self):  # noqa: N802
                camera.send(self)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.url = f'http://127.0.0.1:{self._server.server_port}/stream.mjpg'
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.01])
        self._thread.start()

    def send(self, handler):
        handler.send_response(200)
        handler.send_header('Content-Type', 'multipart/x-mixed-replace; boundary=next')
        handler.end_headers()
        index = 0
        while not self._closed.wait(0.01):
            self.flowing.wait()
            image = cv2.imencode('.jpg', picture(index % 6)[0])[1].tobytes()
            try:
                handler.wfile.write(b'--next\r\nContent-Type: image/jpeg\r\nContent-Length: %d'
                                    b'\r\n\r\n%s\r\n' % (len(image), image))
            except OSError:  # nobody looks any more
                return
            index += 1

    def close(self):
        """End every stream; may be called twice."""
        self._closed.set()
        self.flowing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
