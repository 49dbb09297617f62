"""The HTTP gateway: serves calls of Dify's plugins and of Dify's plugin daemon.

Endpoints are `POST /backwards-invocation/transaction` for plugin processes of the install method
`serverless`, `POST /inner/api/...` for the daemon, `/sessions` for hosts of plugin processes, and
`/health`. Needs the extra `gateway`. The answers themselves live in `invokeq.dify.reverse`.

Internal: may change without notice.
"""

from invokeq.gateway.app import build_app
from invokeq.gateway.server import run_gateway
from invokeq.gateway.settings import GatewaySettings

__all__ = ["GatewaySettings", "build_app", "run_gateway"]
