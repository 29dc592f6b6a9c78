"""The management controller itself: what it is, and that it is about to restart."""

from __future__ import annotations

from protobuf.wkt import Timestamp

from ubmc.kit.release import version
from ubmc.v1alpha1.management_controller_pb import ManagementController, ManagementControllerState


class Controller:
    """The BMC."""

    def __init__(self, name: str) -> None:
        """Make it; its services start now."""
        self.name = name
        self.restarting = False
        self._started = Timestamp.now()

    def message(self) -> ManagementController:
        """The BMC as it is now."""
        states = ManagementControllerState
        return ManagementController(
            name=self.name,
            state=states.RESTARTING if self.restarting else states.READY,
            version=version(),
            start_time=self._started,
        )
