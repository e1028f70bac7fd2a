"""Reconcile: what a service wants, compared with what there is, made into one plan. Level-driven, remembers nothing."""
