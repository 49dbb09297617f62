"""Commands for operators: status, models, cancel, attach, gateway."""
