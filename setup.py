"""Build instseg_ros: an ament_python package that is an ordinary Python package too."""

from pathlib import Path

from setuptools import find_packages, setup

NAME = 'instseg_ros'


def installed(folder: str) -> tuple[str, list[str]]:
    """Return a folder's files as they go to share/instseg_ros."""
    return f'share/{NAME}/{folder}', [str(f) for f in sorted(Path(folder).iterdir())]


setup(
    name=NAME,
    version='0.1.0',
    description='Real-time instance segmentation for robots from a camera that gives class masks',
    long_description=Path('README.md').read_text(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    maintainer='The instseg_ros maintainers',
    maintainer_email='maintainers@users.noreply.github.com',
    python_requires='>=3.10',
    packages=find_packages(include=[NAME, f'{NAME}.*']),
    package_data={NAME: ['interfaces/*/*.json', 'interfaces/*/msg/*.msg']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (f'share/{NAME}', ['package.xml']),
        installed('config'), installed('launch'), installed('sample'),
    ],
    install_requires=['numpy>=1.24', 'opencv-python-headless>=4.6', 'scipy>=1.9', 'pyyaml',
                      'pyzmq>=24', 'rosbags>=0.11.9'],
    extras_require={'tflite': ['ai-edge-litert'], 'tune': ['nicegui>=3']},
    zip_safe=False,
    entry_points={'console_scripts': [
        'instseg = instseg_ros.cli:main',
        'camera_node = instseg_ros.ros.main:camera_node',
        'instance_segmentation_node = instseg_ros.ros.main:instance_segmentation_node',
        'tracker_node = instseg_ros.ros.main:tracker_node',
        'overlay_node = instseg_ros.ros.main:overlay_node',
        'ground_node = instseg_ros.ros.main:ground_node',
        'scene_node = instseg_ros.ros.main:scene_node',
        'pipeline = instseg_ros.ros.main:pipeline',
        'doctor = instseg_ros.commands.doctor:main',
    ]},
)
