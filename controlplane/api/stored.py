"""Members of requests that are checked, kept and given back, and that nothing acts on: a table, and nothing else.

What stands neither here nor in `limits` or `refusals` is acted on. `scripts/api-doc` makes `docs/api.md` of them.
"""

_CLUSTER = ("settings", "configuration", "serviceConnectDefaults")
_NETWORK = "networkConfiguration"
"""Whether the containers get a network of their own follows from the task definition; subnets and groups are names."""

STORED_ONLY: dict[str, tuple[str, ...]] = {
    "CreateCluster": _CLUSTER,
    "UpdateCluster": _CLUSTER,
    "UpdateClusterSettings": ("settings",),
    "RegisterTaskDefinition": ("executionRoleArn", "requiresCompatibilities", "runtimePlatform"),
    "RunTask": (_NETWORK, "referenceId"),
    "StartTask": (_NETWORK, "referenceId"),
    "CreateService": (_NETWORK, "role"),
    "UpdateService": (_NETWORK,),
    "RegisterContainerInstance": ("versionInfo", "instanceIdentityDocumentSignature"),
    "PutAccountSetting": ("value", "principalArn"),
    "PutAccountSettingDefault": ("value",),
}
