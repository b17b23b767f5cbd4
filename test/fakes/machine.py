"""The files of a healthy Raspberry Pi with an AI Camera, as far as the doctor reads them."""
import sys

from .rpk import make_rpk

CONFIG = '/boot/firmware/config.txt'
STATUS = '/var/lib/dpkg/status'
MODEL = '/usr/share/imx500-models/imx500_network_deeplabv3plus.rpk'
PACKAGES = {'libcamera0.6': '0.6.0+rpt20251125-1', 'python3-picamera2': '0.3.36-1'}


class FakePi:
    """A folder that is the root of a machine."""

    def __init__(self, root):
        import numpy as np
        self.root = root
        self.write('/proc/device-tree/model', 'Raspberry Pi 5 Model B Rev 1.0\0')
        self.write('/proc/sys/kernel/osrelease', '6.12.25+rpt-rpi-2712\n')
        self.write('/proc/meminfo', 'MemTotal: 8245440 kB\nMemAvailable: 7000000 kB\n')
        self.write('/sys/devices/platform/soc/soc:firmware/get_throttled', '0\n')
        self.write('/sys/class/thermal/thermal_zone0/temp', '51000\n')
        self.write('/sys/class/video4linux/video0/name', 'rp1-cfe-csi2_ch0\n')
        self.write('/sys/bus/i2c/drivers/imx500/10-001a/name', 'imx500\n')
        self.write(CONFIG, '# For more\ncamera_auto_detect=1\n[all]\n')
        for device in ('video0', 'media0', 'v4l-subdev0', 'dma_heap/linux,cma'):
            self.write(f'/dev/{device}')
        for name in ('loader', 'firmware'):
            self.write(f'/lib/firmware/imx500_{name}.fpk', 'blob')
        self.write(MODEL)
        make_rpk(self.path(MODEL))
        self.shared_memory('4122720k')
        self.path('/usr/bin').mkdir(parents=True)
        self.python('.'.join(map(str, sys.version_info[:2])))
        self.installed(**{'python3-numpy': f'1:{np.__version__}-1', **PACKAGES})

    def path(self, name):
        return self.root / name.lstrip('/')

    def write(self, name, text=''):
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        self.path(name).write_text(text)

    def remove(self, name):
        path = self.path(name)
        for child in path.iterdir() if path.is_dir() else ():
            self.remove(f'/{child.relative_to(self.root)}')
        path.rmdir() if path.is_dir() else path.unlink()

    def shared_memory(self, size):
        self.path('/dev/shm').mkdir(parents=True, exist_ok=True)
        self.write('/proc/mounts', f'tmpfs /dev/shm tmpfs rw,nosuid,nodev,size={size} 0 0\n')

    def python(self, version):
        self.path('/usr/bin/python3').unlink(missing_ok=True)
        self.path('/usr/bin/python3').symlink_to(f'python{version}')

    def installed(self, **versions):
        """Say what apt has installed; None removes it again."""
        known = self.path(STATUS).read_text() if self.path(STATUS).exists() else ''
        kept = [p for p in known.split('\n\n') if p and p.split('\n')[0][9:] not in versions]
        self.write(STATUS, '\n\n'.join([*kept, *(
            f'Package: {name}\nStatus: install ok installed\nVersion: {version}\n'
            'Description: one\n line: two' for name, version in versions.items() if version)]))
