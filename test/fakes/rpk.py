"""A network file for the AI Camera with no network in it: 1 KB that picamera2 reads gladly."""
import json

NETWORK_INFO = """\
networkID=000000
apParamSize=0
networkNum=1
networkOrdinal=0
inputTensorWidth={size}
inputTensorHeight={size}
inputTensorFormat=RGB
inputTensorNorm_K03=0x1800
inputTensorNorm_K13=0x1800
inputTensorNorm_K23=0x1800
inputTensorNorm_K00=0x0400
inputTensorNorm_K22=0x0400
inputTensorNorm_K02=0x0000
inputTensorNorm_K20=0x0000
inputTensorNorm_K11=0x0400
"""


def make_rpk(path, intrinsics=None, size=320):
    """Write the file: a newc cpio archive, which is how an rpk ends."""
    said = {'inference_rate': 19, 'task': 'segmentation'} if intrinsics is None else intrinsics
    files = {'network_info.txt': NETWORK_INFO.format(size=size).encode(),
             'network_intrinsics': json.dumps(said).encode(), 'TRAILER!!!': b''}
    path.write_bytes(b''.join(_entry(name, data) for name, data in files.items()))
    return path


def _entry(name, data):
    fields = [1, 0o100644, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
    head = b'070701' + b''.join(b'%08X' % f for f in fields) + name.encode() + b'\0'
    return head + b'\0' * (-len(head) % 4) + data + b'\0' * (-len(data) % 4)
