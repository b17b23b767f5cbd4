"""What can be wrong: each error says what was expected, what came and what to do."""


class SettingsError(ValueError):
    """A setting has a value that it may not have; the message says which, and what it may."""


class MessageError(ValueError):
    """A message cannot be used."""


class CameraError(RuntimeError):
    """A camera cannot be opened or went away."""


class EndOfStream(CameraError):
    """A recording is over."""


class SourceError(CameraError):
    """A source is there and cannot be used: opening it again would change nothing."""


class RecordingError(CameraError):
    """A recording cannot be used; says where it is wrong."""


class CalibrationError(ValueError):
    """A calibration cannot be used; says what was expected and what came."""


class TransformError(LookupError):
    """A transform between frames is not known (yet); says which, and what is known."""
