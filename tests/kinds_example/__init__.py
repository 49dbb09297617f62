"""A package of somebody else's with a kind of call of its own: translations.

Here live the request, the record and one module for each side: caller, provider, gateway, fake.
Nothing in invokeq knows of translations. The folder beside, `translation_kind-1.0.dist-info`, is
what an installer writes; with this folder on PYTHONPATH the package counts as installed.
"""
