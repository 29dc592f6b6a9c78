"""The service consolesrv: the hosts' serial lines, for many readers and one writer each."""
