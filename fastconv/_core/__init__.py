"""The compiled floor: small Cython modules, one per family of operations, over libfastconv."""
