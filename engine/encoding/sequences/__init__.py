"""The tokens that a model saw: rendered prompts, beginnings, recorded token ids, thoughts in their place."""
