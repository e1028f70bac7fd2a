"""Service auto scaling as tools see it: its API, the metrics that come in, the loop that looks."""
