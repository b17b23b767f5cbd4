"""The environment variables by which Fast DDS is told how to carry messages."""

from __future__ import annotations

from collections.abc import Mapping

# The file of profiles: Kilted renamed the variable, and warns when both are set.
VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
TRANSPORTS = 'FASTDDS_BUILTIN_TRANSPORTS'


def profile_variable(environment: Mapping[str, str]) -> str:
    """Return the name of the variable that the distribution of an environment reads."""
    return VARIABLES[1] if environment.get('ROS_DISTRO') == 'jazzy' else VARIABLES[0]
