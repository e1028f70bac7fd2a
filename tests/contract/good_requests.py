"""One good request, or nearly, of every operation that no model of ECS checks; for tests that spoil them."""

from typing import Any

from wire import envelope, events, extensions, logs, scaling

ECS = envelope.TARGET_PREFIX
WEB = {"ServiceNamespace": "ecs", "ResourceId": "service/default/web", "ScalableDimension": "ecs:service:DesiredCount"}
CLUSTER_ARN = "arn:aws:ecs:us-east-1:000000000000:cluster/default"
TARGET = {
    "Id": "t",
    "Arn": CLUSTER_ARN,
    "RoleArn": "arn:aws:iam::1:role/r",
    "Input": "{}",
    "EcsParameters": {"TaskDefinitionArn": "web", "TaskCount": 1},
}
PATTERN = '{"source":["aws.ecs"],"detail":{"a":[{"prefix":"b"}]}}'
HOOK = {
    "LifecycleHookName": "h",
    "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING",
    "HeartbeatTimeout": 60,
    "DefaultResult": "CONTINUE",
    "Webhook": "",
}
GROUP = {
    "AutoScalingGroupName": "other",
    "cluster": "default",
    "MinSize": 0,
    "MaxSize": 1,
    "DesiredCapacity": 1,
    "InstanceTypes": ["r5.large"],
    "AvailabilityZones": ["us-east-1a"],
    "BootSeconds": 0,
    "NewInstancesProtectedFromScaleIn": False,
    "Command": "true",
    "LifecycleHookSpecificationList": [HOOK],
}
STEP = {
    "AdjustmentType": "ChangeInCapacity",
    "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
    "Cooldown": 60,
    "MetricAggregationType": "Average",
    "MinAdjustmentMagnitude": 1,
}
TRACK = {
    "TargetValue": 50,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"},
    "ScaleInCooldown": 1,
    "ScaleOutCooldown": 1,
    "DisableScaleIn": False,
}
CUSTOM = {
    "TargetValue": 50,
    "CustomizedMetricSpecification": {
        "MetricName": "m",
        "Namespace": "n",
        "Dimensions": [{"Name": "a", "Value": "b"}],
        "Statistic": "Average",
    },
}
ALARM = {
    "AlarmName": "a",
    "Namespace": "n",
    "MetricName": "m",
    "Dimensions": [{"Name": "a", "Value": "b"}],
    "Statistic": "Average",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 1,
    "ComparisonOperator": "GreaterThanThreshold",
    "AlarmActions": [],
    "TreatMissingData": "missing",
}
OF = {"Namespace": "n", "MetricName": "m", "Dimensions": [{"Name": "a", "Value": "b"}]}
DATUM = {
    "MetricName": "m",
    "Dimensions": [{"Name": "a", "Value": "b"}],
    "Value": 1,
    "Values": [1],
    "Counts": [1],
    "StatisticValues": {"SampleCount": 1, "Sum": 1, "Minimum": 1, "Maximum": 1},
    "Timestamp": 1_800_000_000,
    "Unit": "Count",
}
STREAM = {"logGroupName": "g", "logStreamName": "s"}
MACHINE = {"InstanceId": "i-0", "AutoScalingGroupName": "asg"}

ASKED: tuple[tuple[str, str, dict[str, Any]], ...] = (
    (ECS, "CreateAutoScalingGroup", GROUP),
    (ECS, "UpdateAutoScalingGroup", {**GROUP, "AutoScalingGroupName": "asg"}),
    (ECS, "SetDesiredCapacity", {"AutoScalingGroupName": "asg", "DesiredCapacity": 1}),
    (ECS, "DeleteAutoScalingGroup", {"AutoScalingGroupName": "other", "ForceDelete": True}),
    (ECS, "DescribeAutoScalingGroups", {"AutoScalingGroupNames": ["asg"]}),
    (ECS, "TerminateInstanceInAutoScalingGroup", {**MACHINE, "ShouldDecrementDesiredCapacity": True}),
    (ECS, "SetInstanceProtection", {"InstanceIds": ["i-0"], "ProtectedFromScaleIn": True}),
    (ECS, "SetInstanceHealth", {**MACHINE, "HealthStatus": "Unhealthy"}),
    (ECS, "CompleteLifecycleAction", {**MACHINE, "LifecycleHookName": "h", "LifecycleActionResult": "CONTINUE"}),
    (ECS, "RecordLifecycleActionHeartbeat", {**MACHINE, "LifecycleHookName": "h", "LifecycleActionToken": "t"}),
    (ECS, extensions.SYNC_MACHINES, {"runner": "r", "ended": ["i-0"]}),
    (ECS, extensions.EXPLAIN_PLACEMENT, {"subject": "web", "cluster": "default"}),
    (ECS, extensions.FORCE_STOP_TASK, {"task": "t", "cluster": "default", "reason": "why"}),
    (ECS, extensions.GET_POLICY, {"cluster": "default"}),
    (ECS, extensions.PUT_POLICY, {"preset": "ecs-2015", "switches": {"hold-ends": "deadline", "breaker-minimum": 3}}),
    (
        ECS,
        extensions.SUBMIT_RESOURCE_RELEASE,
        {
            "cluster": "default",
            "task": "t",
            "containerInstance": "i",
            "resources": [{"name": "CPU", "type": "INTEGER", "integerValue": 1}],
            "releasedAt": 1.0,
            "proof": "EXIT_SEEN",
        },
    ),
    (
        ECS,
        extensions.SUBMIT_TASK_ADDRESS,
        {"cluster": "default", "task": "t", "containerInstance": "i", "address": "10.0.0.1", "macAddress": "0:1"},
    ),
    (
        ECS,
        extensions.SUBMIT_INSTANCE_INTERRUPTION,
        {"cluster": "default", "containerInstance": "i", "action": "terminate"},
    ),
    (
        ECS,
        extensions.SUBMIT_STORY,
        {
            "cluster": "default",
            "containerInstance": "i",
            "lines": [{"at": 1.0, "actor": "a", "subject": "s", "kind": "k", "cause": "c", "data": {}}],
        },
    ),
    (events.TARGET_PREFIX, "PutRule", {"Name": "r", "ScheduleExpression": "rate(1 minute)", "State": "ENABLED"}),
    (events.TARGET_PREFIX, "PutRule", {"Name": "e", "EventPattern": PATTERN}),
    (events.TARGET_PREFIX, "PutTargets", {"Rule": "r", "Targets": [TARGET]}),
    (events.TARGET_PREFIX, "RemoveTargets", {"Rule": "r", "Ids": ["t"]}),
    (events.TARGET_PREFIX, "ListRules", {"NamePrefix": "r", "Limit": 1, "NextToken": "x"}),
    (events.TARGET_PREFIX, "ListTargetsByRule", {"Rule": "r"}),
    (events.TARGET_PREFIX, "ListRuleNamesByTarget", {"TargetArn": CLUSTER_ARN}),
    (events.TARGET_PREFIX, "DescribeRule", {"Name": "r"}),
    (events.TARGET_PREFIX, "DisableRule", {"Name": "r"}),
    (events.TARGET_PREFIX, "EnableRule", {"Name": "r"}),
    (
        scaling.SCALING_PREFIX,
        "RegisterScalableTarget",
        {**WEB, "MinCapacity": 1, "MaxCapacity": 2, "SuspendedState": {"DynamicScalingInSuspended": False}},
    ),
    (
        scaling.SCALING_PREFIX,
        "PutScalingPolicy",
        {**WEB, "PolicyName": "p", "PolicyType": "StepScaling", "StepScalingPolicyConfiguration": STEP},
    ),
    *(
        (
            scaling.SCALING_PREFIX,
            "PutScalingPolicy",
            {
                **WEB,
                "PolicyName": name,
                "PolicyType": "TargetTrackingScaling",
                "TargetTrackingScalingPolicyConfiguration": tracking,
            },
        )
        for name, tracking in (("q", TRACK), ("c", CUSTOM))
    ),
    (
        scaling.SCALING_PREFIX,
        "PutScheduledAction",
        {
            **WEB,
            "ScheduledActionName": "s",
            "Schedule": "cron(0 12 * * ? *)",
            "Timezone": "Europe/Rome",
            "StartTime": 1_800_000_000,
            "EndTime": 4_000_000_000,
            "ScalableTargetAction": {"MinCapacity": 1, "MaxCapacity": 2},
        },
    ),
    (scaling.SCALING_PREFIX, "DescribeScalableTargets", {"ServiceNamespace": "ecs", "MaxResults": 1, "NextToken": "0"}),
    (scaling.SCALING_PREFIX, "DescribeScalingPolicies", {"ServiceNamespace": "ecs", "PolicyNames": ["p"]}),
    (scaling.SCALING_PREFIX, "DescribeScheduledActions", {"ServiceNamespace": "ecs"}),
    (scaling.SCALING_PREFIX, "DescribeScalingActivities", {"ServiceNamespace": "ecs"}),
    (scaling.METRICS_PREFIX, "PutMetricAlarm", ALARM),
    (scaling.METRICS_PREFIX, "PutMetricData", {"Namespace": "n", "MetricData": [DATUM]}),
    (scaling.METRICS_PREFIX, "DescribeAlarms", {"AlarmNames": ["a"], "MaxRecords": 1, "NextToken": "x"}),
    (scaling.METRICS_PREFIX, "SetAlarmState", {"AlarmName": "a", "StateValue": "OK", "StateReason": "r"}),
    (
        scaling.METRICS_PREFIX,
        "GetMetricData",
        {
            "MetricDataQueries": [{"Id": "q", "MetricStat": {"Metric": OF, "Period": 60, "Stat": "Sum"}}],
            "StartTime": 1_800_000_000,
            "EndTime": 1_900_000_000,
            "ScanBy": "TimestampAscending",
            "MaxDatapoints": 5,
        },
    ),
    (
        scaling.METRICS_PREFIX,
        "GetMetricStatistics",
        {**OF, "Period": 60, "Statistics": ["Sum"], "StartTime": 1_800_000_000, "EndTime": 1_800_000_600},
    ),
    (scaling.METRICS_PREFIX, "ListMetrics", {**OF, "Dimensions": [{"Name": "a"}], "NextToken": "0"}),
    (logs.TARGET_PREFIX, "CreateLogGroup", {"logGroupName": "g"}),
    (logs.TARGET_PREFIX, "CreateLogStream", STREAM),
    (logs.TARGET_PREFIX, "PutLogEvents", {**STREAM, "logEvents": [{"timestamp": 1_800_000_000_000, "message": "m"}]}),
    (logs.TARGET_PREFIX, "GetLogEvents", {**STREAM, "startTime": 1, "endTime": 2, "limit": 1, "nextToken": "f/1"}),
    (
        logs.TARGET_PREFIX,
        "FilterLogEvents",
        {"logGroupName": "g", "filterPattern": '{ $.a = "b" }', "logStreamNames": ["s"], "limit": 1, "nextToken": "1"},
    ),
    (logs.TARGET_PREFIX, "DescribeLogGroups", {"logGroupNamePrefix": "g", "limit": 1, "nextToken": "1"}),
    (logs.TARGET_PREFIX, "DescribeLogStreams", {"logGroupName": "g", "orderBy": "LastEventTime", "descending": True}),
    ("POST", "/_berth/target-groups", {"name": "n", "port": 80, "healthCheckPath": "/", "matcher": "200-299"}),
    ("PUT", "/_berth/target-groups/tg", {"slowStartSeconds": 1, "healthCheckIntervalSeconds": 1, "port": 80}),
    ("POST", "/_berth/alarms", {"name": "n", "state": "ALARM"}),
    ("POST", "/_berth/metrics", {"namespace": "n", "name": "m", "value": 1.5, "dimensions": {"a": "b"}}),
    ("PUT", "/_berth/policy", {"cluster": "default", "preset": "ecs-2026"}),
    ("GET", "/_berth/policy", {"cluster": "default"}),
    ("GET", "/_berth/explain", {"cluster": "default", "subject": "web"}),
    ("GET", "/_berth/story", {"after": "0", "limit": "1"}),
    ("GET", "/_berth/telemetry", {"task": "t"}),
    ("GET", "/events", {"after": "0", "limit": "1"}),
)
"""Requests that are good, or nearly: the prefix of a target and an operation, or a method and a path; and the body."""
