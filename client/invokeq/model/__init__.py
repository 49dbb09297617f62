"""`session.model.*`: one module a model type, each with its sync and its async face."""
