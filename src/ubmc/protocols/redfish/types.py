"""Which version of which schema our resources are of. One table, so that @odata.type, $metadata and Link agree."""

from __future__ import annotations

ROOT = "/redfish/v1"
SCHEMAS = "http://redfish.dmtf.org/schemas/v1"

VERSIONS: dict[str, str] = {
    "AccountService": "v1_18_1",
    "ActionInfo": "v1_5_0",
    "Assembly": "v1_6_1",
    "AttributeRegistry": "v1_4_0",
    "Bios": "v1_2_3",
    "BootOption": "v1_0_6",
    "Certificate": "v1_11_0",
    "CertificateLocations": "v1_0_4",
    "CertificateService": "v1_2_1",
    "Chassis": "v1_28_0",
    "ComputerSystem": "v1_27_0",
    "Control": "v1_7_0",
    "Drive": "v1_22_0",
    "EnvironmentMetrics": "v1_5_0",
    "EthernetInterface": "v1_12_4",
    "Event": "v1_13_0",
    "EventDestination": "v1_16_0",
    "EventService": "v1_12_0",
    "Fan": "v1_6_0",
    "JsonSchemaFile": "v1_1_5",
    "LogEntry": "v1_21_0",
    "LogService": "v1_9_0",
    "Manager": "v1_24_0",
    "ManagerAccount": "v1_14_1",
    "ManagerNetworkProtocol": "v1_12_0",
    "Memory": "v1_23_0",
    "MessageRegistry": "v1_7_0",
    "MessageRegistryFile": "v1_1_5",
    "MetricReport": "v1_5_2",
    "MetricReportDefinition": "v1_4_7",
    "Power": "v1_7_3",
    "PowerSubsystem": "v1_1_3",
    "PowerSupply": "v1_6_0",
    "PowerSupplyMetrics": "v1_2_0",
    "PrivilegeRegistry": "v1_2_0",
    "Processor": "v1_22_0",
    "Role": "v1_3_3",
    "SecurityPolicy": "v1_0_3",
    "Sensor": "v1_12_0",
    "ServiceRoot": "v1_20_0",
    "Session": "v1_8_0",
    "SessionService": "v1_2_0",
    "SimpleStorage": "v1_3_2",
    "SoftwareInventory": "v1_13_0",
    "Storage": "v1_21_0",
    "StorageController": "v1_11_0",
    "Task": "v1_7_4",
    "TaskService": "v1_3_0",
    "TelemetryService": "v1_4_1",
    "Thermal": "v1_7_3",
    "ThermalMetrics": "v1_3_2",
    "ThermalSubsystem": "v1_5_0",
    "Triggers": "v1_4_0",
    "UpdateService": "v1_17_0",
    "VirtualMedia": "v1_6_5",
}
"""The newest version of each schema that DMTF's bundle 2025.4 and later has; collections have no version."""


def odata_type(name: str) -> str:
    """`#ComputerSystem.v1_27_0.ComputerSystem`; collections are `#SensorCollection.SensorCollection`."""
    version = VERSIONS.get(name)
    return f"#{name}.{version}.{name}" if version else f"#{name}.{name}"


def json_schema(name: str) -> str:
    """Where DMTF publishes the JSON schema of a type."""
    version = VERSIONS.get(name)
    return f"{SCHEMAS}/{name}.{version}.json" if version else f"{SCHEMAS}/{name}.json"
