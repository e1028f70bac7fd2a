"""The demonstration: a rolling deployment meets a long job, on real containers (aws/amazon-ecs-agent#4106).

`setup` says what a run is made of, `scenario` plays it, `evidence` is Docker's own record of it, `record` makes the
figures, and `live`, `plain`, `table`, `report` show them. All that is drawn comes from the story.
"""
