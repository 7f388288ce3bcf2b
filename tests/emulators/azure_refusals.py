"""Messages of Azure for refused machines, as reported by users.

Sources: Azure/azure-cli#32567 (closed by Microsoft) and #32417 (by a policy), Azure/azure-policy#1311 (unknown
identity), scylladb/scylla-cluster-tests#4994 (quota of spot vCPUs).
"""

from __future__ import annotations

CLOSED = {
    "RequestDisallowedByAzure": "Resource '{}' was disallowed by Azure: This policy maintains a set of best available "
    "regions where your subscription can deploy resources. The objective of this policy is to ensure that your "
    "subscription has full access to Azure services with optimal performance. Should you need additional or different "
    "regions, contact support..",
    "RequestDisallowedByPolicy": "Resource '{}' was disallowed by policy. Policy identifiers: "
    '\'[{{"policyAssignment":{{"name":"Allowed locations","id":"/subscriptions/s/providers/'
    'Microsoft.Authorization/policyAssignments/a"}},"policyDefinition":{{"name":"Allowed locations","id":'
    '"/providers/Microsoft.Authorization/policyDefinitions/e56962a6","version":"1.0.0"}}}}]\'.',
}
NO_IDENTITY = (
    "Identity operation failed with error 'Failed to perform resource identity operation. Status: 'BadRequest'. "
    'Response: \'{{"error":{{"code":"BadRequest","message":"Resource \'{}\' was not found."}}}}\'.\'.'
)


def over_quota(region: str, limit: int, used: int, more: int) -> str:
    return (
        "Operation could not be completed as it results in exceeding approved LowPriorityCores quota. Additional "
        f"details - Deployment Model: Resource Manager, Location: {region}, Current Limit: {limit}, Current Usage: "
        f"{used}, Additional Required: {more}, (Minimum) New Limit Required: {used + more}."
    )
