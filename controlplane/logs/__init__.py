"""The local log store: what `awslogs` containers write, kept in bounds and read by CloudWatch Logs' own operations."""
