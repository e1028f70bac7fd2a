"""Service auto scaling: how many tasks a service is to have. Pure."""
