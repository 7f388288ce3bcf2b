"""A proxy with an allow-list between machines and the Prefect API: a machine can access only its own flow run.

The allowed calls were recorded from a Prefect 3.8.8 worker and engine; all others are rejected. No part of a request is
forwarded unchanged: paths are rebuilt, bodies are parsed, validated and serialized again, and headers are dropped.
"""
