"""Reverse invocation: answers to the calls of Dify's SDK to the platform.

Here live the reading of payloads, one handler for each kind of call, and the wording of errors.
Transports of such calls live elsewhere: `dify.plugins` for stdio, `gateway` for HTTP.

Internal: may change without notice. The public face is `invokeq.backwards`.
"""

from invokeq.dify.reverse.errors import error_args, error_text
from invokeq.dify.reverse.serve import serve

__all__ = ["error_args", "error_text", "serve"]
