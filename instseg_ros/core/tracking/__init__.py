"""Tracking: ids that stay."""

from .tracker import Tracker, TrackingSettings

__all__ = ['Tracker', 'TrackingSettings']
