"""Plugin `llm_local`: llama.cpp in process, through xllamacpp."""
