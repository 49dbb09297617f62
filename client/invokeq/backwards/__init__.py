"""Serves what Dify's SDK asks its platform for: one reverse invocation, whatever it came over."""

from invokeq.backwards.answers import serve
from invokeq.backwards.kinds import SERVED
from invokeq.backwards.said import error_args, error_text

__all__ = ["SERVED", "error_args", "error_text", "serve"]
