"""A local vendor that speaks OpenAI's API, and a reader of its streams without Redis."""
