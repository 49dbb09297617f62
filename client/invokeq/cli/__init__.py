"""The `invokeq` command."""
