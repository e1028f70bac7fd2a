"""The story as it leaves the control plane."""
