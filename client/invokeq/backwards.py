"""Answer what Dify's SDK asks of its platform, for hosts of your own, whatever the transport."""

from invokeq.dify.reverse import SERVED, error_args, error_text, serve

__all__ = ["SERVED", "error_args", "error_text", "serve"]
