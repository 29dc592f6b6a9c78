"""powermgr: the wires. It drives what it is told to and tells what it sees; it decides nothing."""
