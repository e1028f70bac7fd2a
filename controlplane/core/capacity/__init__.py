"""Capacity: how many instances there should be, and the instances that come and go. Pure, as all of `core`."""
