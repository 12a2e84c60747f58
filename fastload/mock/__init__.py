"""The built-in LLM server: an OpenAI-compatible target that says afterwards when each token really left.

Owns HTTP parsing, answers, faults and the server's own truth; it must not import anything that measures (`engine`, `samples`,
`stats`), so that its truth stays independent from fastload's. Tokens are sent by `fastload._native.Pump`, on time and without
Python; Python runs once per request.
"""
