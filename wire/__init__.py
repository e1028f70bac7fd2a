"""What crosses a wire: shapes, names, ladders. No behaviour of either program lives here.

Both programs import this package; it imports neither of them.
"""
