"""Where speed is shown: see README.md."""
