"""Plugin `llm_mock`: deterministic scripted answers, for tests and dry runs."""
