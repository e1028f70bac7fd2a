"""Application Auto Scaling and CloudWatch, as tools speak them: target prefixes, names and limits.

Source: botocore's models (2016-02-06, 2010-08-01); the services' quotas.
"""

SCALING_PREFIX = "AnyScaleFrontendService"
METRICS_PREFIX = "GraniteServiceVersion20100801"
NAMESPACE = "ecs"
DIMENSION = "ecs:service:DesiredCount"
TARGETS_MAX = 3000
"""Scalable targets of ECS services in a region."""
POLICIES_MAX = 50
"""Of one scalable target, step scaling and target tracking together."""
ACTIONS_MAX = 200
"""Scheduled actions of one scalable target."""
STEPS_MAX = 20
"""Step adjustments of one policy."""
METRIC_DATA_MAX = 1000
"""Metrics in one PutMetricData."""
ECS_METRICS = "AWS/ECS"
"""Namespace of what services use."""
BALANCER_METRICS = "AWS/ApplicationELB"
"""The namespace of what target groups carry."""
