"""statemgr: the truth about hosts, chassis and the BMC, and the one way by which their power is changed."""
