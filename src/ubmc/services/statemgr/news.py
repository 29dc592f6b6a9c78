"""What is said about what happens to a host by itself: text, severity, and who did it. Data."""

from __future__ import annotations

from types import MappingProxyType

from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.host_pb import HostNewsKind

NEWS = MappingProxyType(
    {
        HostNewsKind.BUTTON_PRESSED: ("the power button on the front was pressed", Severity.OK, "front-panel"),
        HostNewsKind.GUEST_SHUTDOWN: ("the operating system powered itself off", Severity.OK, "guest"),
        HostNewsKind.GUEST_RESET: ("the operating system restarted itself", Severity.OK, "guest"),
        HostNewsKind.PANICKED: ("the operating system crashed", Severity.CRITICAL, "guest"),
        HostNewsKind.CRASHED: ("the process of the virtual machine ended by itself", Severity.CRITICAL, "hardware"),
    }
)
