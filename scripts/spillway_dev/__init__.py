"""What the demo, the tests and the measurements share.

Standard library only, apart from modules that say otherwise: `scripts/demo`
starts on a machine where nothing is installed yet.
"""
