"""The last step of a fit: make what the networks learned and what the camera adds fit together."""

from cytocascade.calibration.calibrate import calibrate

__all__ = ["calibrate"]
