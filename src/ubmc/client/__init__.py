"""The typed client of u-bmc, over Connect and HTTPS.

```python
from ubmc.client import Client, Pinned
from ubmc.v1alpha1.host_pb import GetHostRequest
from ubmc.v1alpha1.host_rpc import HostService

with Client("https://127.0.0.1:8443", token=token, trust=Pinned.parse("AB:CD:...")) as client:
    host = client.ask(HostService.GetHost, GetHostRequest(name="host.0")).host
```
"""

from __future__ import annotations

from ubmc.client.sync import Client
from ubmc.client.trust import CaFile, Insecure, NotTrusted, Pinned, SystemTrust, Trust

__all__ = ["CaFile", "Client", "Insecure", "NotTrusted", "Pinned", "SystemTrust", "Trust"]
