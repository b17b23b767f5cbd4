"""The transport of images: which Fast DDS profile to use, if any."""

from __future__ import annotations

from collections.abc import Mapping

from ament_index_python import get_package_share_directory

from ..fastdds import profile_variable, TRANSPORTS, VARIABLES


def transport_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """
    Return the environment variables that make Fast DDS carry images without loss.

    Parameters
    ----------
    environment : mapping of str to str
        The environment as it is. Nothing is returned when it names another profile, another
        transport or another middleware.

    """
    if environment.get('RMW_IMPLEMENTATION', '') not in ('', 'rmw_fastrtps_cpp'):
        return {}
    # A user who set one of these has chosen.
    if any(name in environment for name in (*VARIABLES, TRANSPORTS)):
        return {}
    file = get_package_share_directory('instseg_ros') + '/config/fastdds.xml'
    return {profile_variable(environment): file}
