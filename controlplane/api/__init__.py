"""The ECS API: one file per noun. Amazon's shapes stop here; what is decided is decided in `core`."""
