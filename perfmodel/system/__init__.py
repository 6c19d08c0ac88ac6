"""Systems of several devices or requests: LLM serving, single requests, split computing."""
