"""Rules of EventBridge with ECS targets: tasks by the clock, and tasks by what happens."""
