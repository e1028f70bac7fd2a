"""The operations that are served, by name. What is not here is refused (see `refusals`, `dispatch`)."""

from controlplane.agents import registration, reports
from controlplane.api import (
    account_settings,
    attributes,
    capacity_providers,
    clusters,
    container_instances,
    groups,
    protection,
    services,
    tags,
    task_definitions,
    tasks,
)
from controlplane.api.call import Reader, Writer
from wire.extensions import (
    FORCE_STOP_TASK,
    SUBMIT_INSTANCE_INTERRUPTION,
    SUBMIT_RESOURCE_RELEASE,
    SUBMIT_TASK_ADDRESS,
    SYNC_MACHINES,
)

READERS: dict[str, Reader] = {
    "DescribeClusters": clusters.describe_clusters,
    "ListClusters": clusters.list_clusters,
    "DescribeCapacityProviders": capacity_providers.describe_capacity_providers,
    "ListAccountSettings": account_settings.list_account_settings,
    "DescribeTaskDefinition": task_definitions.describe_task_definition,
    "ListTaskDefinitions": task_definitions.list_task_definitions,
    "ListTaskDefinitionFamilies": task_definitions.list_task_definition_families,
    "DescribeContainerInstances": container_instances.describe_container_instances,
    "ListContainerInstances": container_instances.list_container_instances,
    "ListAttributes": attributes.list_attributes,
    "DescribeTasks": tasks.describe_tasks,
    "ListTasks": tasks.list_tasks,
    "DescribeServices": services.describe_services,
    "ListServices": services.list_services,
    "ListServicesByNamespace": services.list_services_by_namespace,
    "GetTaskProtection": protection.get_task_protection,
    "ListTagsForResource": tags.list_tags_for_resource,
    "DescribeAutoScalingGroups": groups.describe_groups,
    "DiscoverPollEndpoint": registration.discover_poll_endpoint,
}
"""Change nothing."""

WRITERS: dict[str, Writer] = {
    "CreateCluster": clusters.create_cluster,
    "UpdateCluster": clusters.update_cluster,
    "UpdateClusterSettings": clusters.update_cluster_settings,
    "PutClusterCapacityProviders": clusters.put_cluster_capacity_providers,
    "DeleteCluster": clusters.delete_cluster,
    "CreateCapacityProvider": capacity_providers.create_capacity_provider,
    "UpdateCapacityProvider": capacity_providers.update_capacity_provider,
    "DeleteCapacityProvider": capacity_providers.delete_capacity_provider,
    "PutAccountSetting": account_settings.put_account_setting,
    "PutAccountSettingDefault": account_settings.put_account_setting_default,
    "DeleteAccountSetting": account_settings.delete_account_setting,
    "TagResource": tags.tag_resource,
    "UntagResource": tags.untag_resource,
    "RegisterTaskDefinition": task_definitions.register_task_definition,
    "DeregisterTaskDefinition": task_definitions.deregister_task_definition,
    "DeleteTaskDefinitions": task_definitions.delete_task_definitions,
    "DeregisterContainerInstance": container_instances.deregister_container_instance,
    "UpdateContainerInstancesState": container_instances.update_container_instances_state,
    "UpdateContainerAgent": container_instances.update_container_agent,
    "PutAttributes": attributes.put_attributes,
    "DeleteAttributes": attributes.delete_attributes,
    "RunTask": tasks.run_task,
    "StartTask": tasks.start_task,
    "StopTask": tasks.stop_task,
    FORCE_STOP_TASK: tasks.force_stop_task,
    "UpdateTaskProtection": protection.update_task_protection,
    "CreateService": services.create_service,
    "UpdateService": services.update_service,
    "DeleteService": services.delete_service,
    "CreateAutoScalingGroup": groups.create_group,
    "UpdateAutoScalingGroup": groups.update_group,
    "SetDesiredCapacity": groups.update_group,
    "DeleteAutoScalingGroup": groups.delete_group,
    "TerminateInstanceInAutoScalingGroup": groups.terminate_machine,
    "SetInstanceProtection": groups.set_protection,
    "SetInstanceHealth": groups.set_health,
    "CompleteLifecycleAction": groups.complete_action,
    "RecordLifecycleActionHeartbeat": groups.complete_action,
}
"""Asked for by people and their tools: the story says so."""

REPORTS: dict[str, Writer] = {
    "RegisterContainerInstance": registration.register_container_instance,
    "SubmitTaskStateChange": reports.submit_task_state_change,
    "SubmitContainerStateChange": reports.submit_container_state_change,
    "SubmitAttachmentStateChanges": reports.submit_attachment_state_changes,
    SUBMIT_RESOURCE_RELEASE: reports.submit_task_resource_release,
    SUBMIT_TASK_ADDRESS: reports.submit_task_address,
    SYNC_MACHINES: groups.sync_machines,
    SUBMIT_INSTANCE_INTERRUPTION: reports.submit_instance_interruption,
}
"""Sent by agents about what they saw."""
