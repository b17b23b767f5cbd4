"""The transport of images: which Fast DDS profile to use, if any."""

from __future__ import annotations

from collections.abc import Mapping

from ament_index_python import get_package_share_directory, get_resources

from ..fastdds import profile_variable, TRANSPORTS, VARIABLES

_FAST_DDS = 'rmw_fastrtps_cpp'


def transport_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """
    Return the environment variables that make Fast DDS carry images without loss.

    Parameters
    ----------
    environment : mapping of str to str
        The environment as it is. Nothing is returned when it names another profile, another
        transport or another middleware, or when Fast DDS is not installed.

    """
    # Without a name, rmw_implementation takes Fast DDS if it is there, and any other if not.
    if (environment.get('RMW_IMPLEMENTATION') or _FAST_DDS) not in get_resources(
            'rmw_typesupport').keys() & {_FAST_DDS, 'rmw_fastrtps_dynamic_cpp'}:
        return {}
    # A user who set one of these has chosen.
    if any(name in environment for name in (*VARIABLES, TRANSPORTS)):
        return {}
    file = get_package_share_directory('instseg_ros') + '/config/fastdds.xml'
    return {profile_variable(environment): file}
