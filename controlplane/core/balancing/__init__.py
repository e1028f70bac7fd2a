"""Load balancing, decided: who is a target, in which state, with what share of the traffic. It knows no proxy."""
