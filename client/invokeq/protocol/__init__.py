"""The wire contract: entities, requests, events, errors, keys and the codec."""
