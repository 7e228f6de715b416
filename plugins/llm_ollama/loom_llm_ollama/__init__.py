"""Plugin `llm_ollama`: models served by Ollama."""
