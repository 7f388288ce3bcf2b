"""An allow-list between machines and the Prefect API: a machine runs its own flow run, and nothing else.

What a machine may call was recorded from a Prefect 3.8.8 worker and engine; everything else is refused. Nothing of
a request travels on as it came: paths are put together anew, bodies are parsed, checked and written anew, and of the
headers none is kept.
"""
