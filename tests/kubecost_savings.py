"""Savings as Kubecost documents them, with made-up figures: **not recorded**, no Kubecost was at hand to record one."""

from typing import Any

Json = dict[str, Any]

CATEGORIES: Json = {
    "cluster": "one",
    "profile": "production",
    "abandonedWorkloads": {"savingsPerMonth": 9.69, "lastRefresh": "2026-11-23T10:00:00Z"},
    "containerRequestSizing": {"savingsPerMonth": 44.31, "lastRefresh": "2026-11-23T10:00:00Z"},
    "clusterSizing": {"savingsPerMonth": 63.07, "lastRefresh": "2026-11-23T10:00:00Z"},
    "persistentVolumeSizing": {"savingsPerMonth": 14.02, "lastRefresh": "2026-11-23T10:00:00Z"},
    "unclaimedVolumes": {"savingsPerMonth": 0.0, "lastRefresh": "2026-11-23T10:00:00Z"},
    "underutilizedLocalDisks": {"savingsPerMonth": 52.14, "lastRefresh": None},
    "nodeGroupSizing": {"savingsPerMonth": None, "lastRefresh": None},
    "orphanedResources": {"savingsPerMonth": 1.5, "lastRefresh": "2026-11-23T10:00:00Z"},
}
OLD_REQUEST_SIZING: list[Json] = [
    {
        "clusterID": "one",
        "namespace": "shop",
        "controllerKind": "deployment",
        "controllerName": "web",
        "containerName": "app",
        "recommendedRequest": {"cpu": "10m", "memory": "20Mi"},
        "latestKnownRequest": {"cpu": "200m", "memory": "1Gi"},
        "monthlySavings": {"cpu": 4.25, "memory": -1.5},
        "currentEfficiency": {"cpu": 0.02, "memory": 1.31, "total": 0.1},
    },
    {
        "clusterID": "one",
        "namespace": "data",
        "controllerKind": "statefulset",
        "controllerName": "db",
        "containerName": "db",
        "recommendedRequest": {"cpu": "2", "memory": "8Gi"},
        "monthlySavings": {"cpu": -12.125, "memory": None},
    },
]
REQUEST_SIZING: Json = {
    "TotalMonthlySavings": 2.5,
    "Count": 2,
    "Recommendations": [
        {
            **OLD_REQUEST_SIZING[0],
            "monthlySavings": {"cpu": 4.25, "memory": -1.5, "total": 2.75},
            "normalizedRecommendedRequest": {"cpuInMilliCores": 10, "memoryInMiB": 20},
            "normalizedMaxUsage": {"cpuInMilliCores": 7.25, "memoryInMiB": 18.000001},
        },
        {**OLD_REQUEST_SIZING[1], "monthlySavings": {"cpu": -12.125, "memory": 0.5, "total": -11.625}},
    ],
}
ABANDONED: list[Json] = [
    {
        "pod": "web-1",
        "namespace": "shop",
        "node": "node-1",
        "clusterId": "one",
        "clusterName": "One",
        "owners": [{"name": "web", "kind": "deployment"}],
        "ingressBytesPerSecond": 0.25,
        "egressBytesPerSecond": 0,
        "allocation": {"cpuCores": 0.5, "ramBytes": 1073741824},
        "requests": {"cpuCores": 0.5, "ramBytes": 1073741824},
        "usage": {"cpuCores": 1e-05, "ramBytes": 41943040},
        "monthlySavings": 9.69,
    }
]
CLUSTER_SIZING: Json = {
    "code": 200,
    "data": {
        "one": {
            "recommendations": {
                "multi": {
                    "pools": [{"type": {"name": "m6i.large", "vCPUs": 2}, "count": 3, "totalMonthlyCost": 210.24}],
                    "nodeCount": 3,
                    "monthlySavings": 63.07,
                },
                "single": {"pools": [], "nodeCount": 2, "monthlySavings": -4.5},
            },
            "parameters": {"targetUtilization": 0.8},
            "currentClusterInfo": {"monthlyRate": 273.31},
        }
    },
}
VOLUME_SIZING: Json = {
    "recommendations": [
        {
            "volumeName": "pvc-1",
            "claimName": "data",
            "claimNamespace": "shop",
            "clusterId": "one",
            "maxUsageBytes": 1.5e9,
            "recommendedCapacityBytes": 2147483648,
            "recommendedCostMonthly": 0.2,
            "currentCapacityBytes": 107374182400,
            "currentCostMonthly": 14.22,
            "savingsMonthly": 14.02,
            "storageClass": "gp3",
        }
    ]
}
UNCLAIMED: Json = {
    "code": 200,
    "data": {
        "count": 1,
        "monthlyCost": 0.75,
        "volumes": [{"monthlyCost": 0.75, "volumeName": "pvc-9", "properties": {"provider.id": "vol-9"}}],
    },
}
LOCAL_DISKS: Json = {
    "unutilizedDisks": [
        {
            "diskName": "node-1",
            "clusterId": "one",
            "utilizationPercent": 3.5,
            "currentCapacityBytes": 107374182400,
            "savingsMonthly": 52.14,
        }
    ]
}
NODE_GROUPS: Json = {
    "code": 200,
    "data": {
        "window": "7d",
        "totalSavingsPerMonth": 30,
        "warnings": None,
        "recommendations": [{"nodeGroup": "general", "recommendation": "shrink", "savingsPerMonth": 30}],
    },
}
BEHIND: dict[str, Any] = {
    "/savings/requestSizingV2": REQUEST_SIZING,
    "/savings/abandonedWorkloads": ABANDONED,
    "/savings/clusterSizingETL": CLUSTER_SIZING,
    "/savings/persistentVolumeSizing": VOLUME_SIZING,
    "/savings/unclaimedVolumes": UNCLAIMED,
    "/savings/localLowDisks": LOCAL_DISKS,
    "/savings/nodeGroupSizing/recommendations": NODE_GROUPS,
}
"""What stands behind the categories, by path."""


def leaves(told: object, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], object]:
    """Each value by the names that lead to it; an empty object or list is a value."""
    parts = enumerate(told) if isinstance(told, list) else told.items() if isinstance(told, dict) else ()
    found = {name: value for key, part in parts for name, value in leaves(part, (*path, str(key))).items()}
    return found or {path: told}
