"""Serves what Dify's plugins and Dify's plugin daemon ask their platform for, over HTTP.

Three doors: `POST /backwards-invocation/transaction` for plugin processes of the install method
`serverless`, `POST /inner/api/...` for the daemon, and `/sessions` for whoever runs the plugin
processes. Needs the extra `gateway`.
"""

from invokeq.gateway.app import build_app
from invokeq.gateway.server import run_gateway
from invokeq.gateway.settings import GatewaySettings

__all__ = ["GatewaySettings", "build_app", "run_gateway"]
