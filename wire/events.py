"""EventBridge's rules, as tools speak them: the target prefix, names and limits.

Source: botocore's EventBridge model (2015-10-07); EventBridge quotas.
"""

TARGET_PREFIX = "AWSEvents"
BUS = "default"
RULES_MAX = 300
"""Of one bus."""
TARGETS_MAX = 5
"""Of one rule."""
