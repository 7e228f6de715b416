"""Plugin `llm_openai`: Chat Completions of OpenAI and compatible servers."""
