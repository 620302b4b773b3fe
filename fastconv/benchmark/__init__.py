"""What `fastconv bench` and `pytest benchmarks` time: operations, yardsticks, a stop watch.

Used by the command line only; it stands beside `training` on the floors of the house.
"""
