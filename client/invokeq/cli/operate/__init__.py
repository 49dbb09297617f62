"""Commands for operators: status, models, cancel, attach, gateway.

Commands around worker processes live in `invokeq_worker.commands`.
"""
