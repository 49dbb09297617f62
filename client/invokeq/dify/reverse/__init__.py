"""Serves what Dify's SDK asks its platform for: one reverse invocation, whatever it came over."""

from invokeq.dify.reverse.errors import error_args, error_text
from invokeq.dify.reverse.handlers import serve
from invokeq.dify.reverse.kinds import SERVED

__all__ = ["SERVED", "error_args", "error_text", "serve"]
