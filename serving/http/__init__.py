"""The HTTP door: the same scoring path as the worker's, asked over HTTP.

    request --front: route, token--> hot route    | anything else -> the FastAPI surface
      --read, decode, check-->       Question     | error table -> 4xx
      --gather-->                    batch        | queue full  -> 503
      --score (one thread)-->        answers      | per entity: what a policy refuses
      --encode-->                    response

`app` wires it, `server` runs it; `error_table` is the only place that knows status codes.
"""
