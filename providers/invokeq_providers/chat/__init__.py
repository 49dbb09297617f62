"""Translate chat requests and answers in OpenAI's shape, and what all chat vendors share."""
